//! `/v1/runs/{run}/artifacts`: the files of a run, and the way of those that it is given.

use axum::{
    Json as Body,
    extract::State,
    http::{HeaderName, HeaderValue, header},
    response::IntoResponse,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use stead_api::artifact::{Artifact, Artifacts, Attachment, MAX_ATTACHMENTS};
use stead_core::{
    artifact::{plain_media, plain_name},
    id::RunId,
};
use stead_engine::ArtifactView;
use stead_ports::file::File;

use super::views;
use crate::{
    auth::Principal,
    http::{
        app::{App, Shared},
        export::{self, Leaves},
        failure::{Answer, Failure},
        input::At,
    },
};

pub(super) async fn list(State(app): State<Shared>, who: Principal, At(run): At<RunId>) -> Answer<Body<Artifacts>> {
    views::own_run(&app, &who, run).await?;
    let (listed, more) = app.runtime.engine().artifacts(run).await?;
    Ok(Body(Artifacts { items: listed.into_iter().map(told).collect(), more }))
}

fn told(view: ArtifactView) -> Artifact {
    let hex = |digest: [u8; 32]| digest.iter().map(|b| format!("{b:02x}")).collect();
    Artifact {
        name: view.name,
        media_type: view.media,
        size: view.len,
        sha256: view.digest.map(hex),
        effect: view.effect,
        at: view.at,
    }
}

/// The bytes are foreign, and the media type is what somebody said: a browser stores them and makes nothing of them.
pub(super) async fn get(
    State(app): State<Shared>,
    who: Principal,
    At((run, name)): At<(RunId, String)>,
) -> Answer<impl IntoResponse> {
    views::own_run(&app, &who, run).await?;
    let (found, content) = app.runtime.engine().artifact(run, &name).await?;
    export::ask(&app, &who, run, Leaves { name: &found.name, media: &found.media, bytes: found.len }).await?;
    let header = |text: &str| HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("attachment"));
    Ok((
        [
            (header::CONTENT_TYPE, header(&plain_media(&found.media))),
            (header::CONTENT_DISPOSITION, header(&disposition(&found.name))),
            (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
            (
                HeaderName::from_static("content-security-policy"),
                HeaderValue::from_static("sandbox; default-src 'none'"),
            ),
        ],
        content,
    ))
}

/// `Content-Disposition` (RFC 6266), the name as it is in RFC 8187's form.
fn disposition(name: &str) -> String {
    let mut encoded = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    format!("attachment; filename*=UTF-8''{encoded}")
}

/// The files that a request gives a run.
pub(super) fn read(app: &App, attachments: &[Attachment]) -> Answer<Vec<File>> {
    if attachments.len() > MAX_ATTACHMENTS {
        return Err(Failure::bad_request(format!("a run is given at most {MAX_ATTACHMENTS} files")));
    }
    let most = app.limits.attachments.0;
    let (mut files, mut total) = (Vec::with_capacity(attachments.len()), 0_usize);
    for Attachment { name, media_type, data } in attachments {
        let name = plain_name(name);
        let content =
            STANDARD.decode(data).map_err(|_| Failure::bad_request(format!("`{name}`: the data is no base64")))?;
        total = total.saturating_add(content.len());
        if total > most {
            return Err(Failure::new(stead_core::code::TOO_LARGE, format!("the files are larger than {most} bytes")));
        }
        if files.iter().any(|f: &File| f.name == name) {
            return Err(Failure::bad_request(format!("two files have the name `{name}`")));
        }
        files.push(File {
            name,
            media: plain_media(media_type.as_deref().unwrap_or_default()),
            content: content.into(),
        });
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_change_the_header() {
        assert_eq!(
            disposition("a \"b\"; x=\r\nü.txt"),
            "attachment; filename*=UTF-8''a%20%22b%22%3B%20x%3D%0D%0A%C3%BC.txt"
        );
    }
}
