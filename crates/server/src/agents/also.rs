//! What a call of a tool does beside being made, as far as its manifest says: policies are asked about each.

use stead_core::sandbox::Tier;
use stead_manifest::{
    Bundle, Manifest,
    manifest::{Auth, Kind, Sandbox, SecretRef, Tool},
};
use stead_ports::agent::Also;
use url::Url;

use super::reached::urls;

/// What calls of a tool do.
pub(super) fn of(manifest: &Manifest, name: &str, tool: &Tool, bundle: &Bundle) -> Vec<Also> {
    let mut out = Vec::new();
    let places = urls(name, tool, bundle);
    // An HTTP tool asks for each request; others do the same each time.
    let each = matches!(tool.kind, Kind::Http(_));
    out.extend(places.iter().filter_map(|place| connect(place, each)));
    let shown_to = places.iter().find_map(|place| host(place)).map(|(host, _)| host).unwrap_or_default();
    match &tool.auth {
        Some(Auth::Secret(secret)) => out.push(uses(secret, shown_to)),
        Some(Auth::OAuth2(client)) => {
            let issuer = host(&client.token_url);
            out.extend(connect(&client.token_url, false));
            out.push(uses(&client.client_secret, issuer.map(|(host, _)| host).unwrap_or_default()));
        }
        // Its token is the run's own: no secret that anybody keeps.
        Some(Auth::Delegate(_)) | None => {}
    }
    if let Some(sandbox) = tool.sandbox_in(manifest) {
        boxed(&sandbox, &mut out);
        // In a box a variable is a placeholder, and the rules of egress say which host gets what is behind it.
        if sandbox.tier().is_none() {
            out.extend(tool.variables().filter_map(|v| v.from).map(|secret| uses(&secret, String::new())));
        }
    }
    out
}

fn boxed(sandbox: &Sandbox, out: &mut Vec<Also>) {
    let Some(tier) = sandbox.tier() else { return };
    let rules = sandbox.egress();
    out.push(Also::CreateSandbox {
        tier,
        cpu_millis: sandbox.cpu.map_or(0, |millionths| millionths / 1_000),
        memory_bytes: sandbox.memory.unwrap_or(0),
        network: tier != Tier::Wasm && !rules.is_empty(),
    });
    for rule in rules {
        let to = rule.host.rsplit("://").next().unwrap_or_default();
        let to = to.rsplit_once(':').map_or(to, |(host, _)| host);
        out.extend(rule.secrets.iter().map(|injected| uses(&injected.secret, to.to_owned())));
    }
}

/// Host and port of a URL; a file has none.
fn host(url: &str) -> Option<(String, u16)> {
    let url = Url::parse(url).ok()?;
    let usual = match url.scheme() {
        "postgres" | "postgresql" => Some(5432),
        _ => url.port_or_known_default(),
    };
    let host = url.host_str().filter(|host| !host.is_empty())?;
    Some((host.trim_matches(['[', ']']).to_owned(), url.port().or(usual)?))
}

/// A request to a URL, or a connection to a database. `each` says that nothing but the host is the same each time.
fn connect(place: &str, each: bool) -> Option<Also> {
    let (host, port) = host(place)?;
    let url = Url::parse(place).ok()?;
    let (method, path) = match url.scheme() {
        "http" | "https" if !each => ("POST", url.path()),
        _ => ("", ""),
    };
    Some(Also::Connect { host, port, method: method.to_owned(), path: path.to_owned(), each })
}

/// `NAME` or `NAME#FIELD`, as policies name secrets.
fn uses(secret: &SecretRef, host: String) -> Also {
    let named = secret.as_str();
    let named = named.strip_prefix("secret://").or_else(|| named.strip_prefix("env://")).unwrap_or(named);
    Also::UseSecret { secret: named.to_owned(), host }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn also(tools: &str) -> Vec<Also> {
        let text = format!("stead: v1\nname: a\nmodel: rehearsal:auto\ninstructions: x\ntools:\n  t: {tools}\n");
        let manifest = stead_manifest::parse(&text, "agent.yaml").unwrap();
        let bundle = Bundle {
            manifest: manifest.clone(),
            source: text.as_str().into(),
            files: Default::default(),
            agents: Default::default(),
            apis: Default::default(),
            pinned: Default::default(),
            unsaid: None,
            dir: None,
        };
        of(&manifest, "t", &manifest.tools["t"], &bundle)
    }

    #[test]
    fn a_tool_is_told_with_its_host_its_secret_and_its_box() {
        let http = "{ http: { base_url: \"https://api.example.com/v1\", operations: { get: { method: GET, path: / } } }, auth: \"secret://payments#token\" }";
        let host = "api.example.com".to_owned();
        let secret = Also::UseSecret { secret: "payments#token".into(), host: host.clone() };
        let connect = |host: &str, port, method: &str, path: &str, each| {
            let (host, method, path) = (host.to_owned(), method.to_owned(), path.to_owned());
            Also::Connect { host, port, method, path, each }
        };
        assert_eq!(also(http), [connect(&host, 443, "", "", true), secret]);
        let remote = "{ mcp: { url: \"https://tools.example.com/mcp\" } }";
        assert_eq!(also(remote), [connect("tools.example.com", 443, "POST", "/mcp", false)]);
        let mut made =
            also("{ command: [sh], sandbox: { cpu: 0.5, memory: 64Mi, egress: [\"api.example.com:443\"] } }");
        let network = true;
        let expected = Also::CreateSandbox { tier: Tier::Namespace, cpu_millis: 500, memory_bytes: 64 << 20, network };
        assert_eq!(made.remove(0), expected);
        assert_eq!(also("{ sql: { url: \"sqlite:./a.db\", allow: [SELECT] } }"), []);
    }
}
