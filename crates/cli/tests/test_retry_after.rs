//! A provider says when it wants to be asked again, and the process that heard it is killed with `kill -9`: the next one asks
//! at that time and not before.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::{Duration, Instant},
};

use crate::common::{Serving, TestEnvironment};

/// How long the provider wants to be left alone.
const WAIT: Duration = Duration::from_secs(2);

const REPLY: &str = r#"data: {"model":"m","choices":[{"index":0,"delta":{"content":"Here I am."},"finish_reason":null}]}

data: {"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}

data: {"model":"m","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}

data: [DONE]

"#;

/// A provider that refuses the first request and answers later ones; it tells when each one came, and when it had refused.
fn provider() -> (String, mpsc::Receiver<Instant>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        for (n, socket) in listener.incoming().enumerate() {
            let mut socket = socket.unwrap();
            read_request(&socket);
            let came = Instant::now();
            let answer = if n == 0 {
                format!("HTTP/1.1 429 Too Many Requests\r\nretry-after: {}\r\ncontent-length: 0\r\n", WAIT.as_secs())
            } else {
                format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {}\r\n", REPLY.len())
            };
            let body = if n == 0 { "" } else { REPLY };
            if tell.send(came).is_err() || write!(socket, "{answer}connection: close\r\n\r\n{body}").is_err() {
                return;
            }
        }
    });
    (url, told)
}

fn read_request(socket: &TcpStream) {
    let mut reader = BufReader::new(socket);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if let Some(n) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = n.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    reader.read_exact(&mut vec![0; length]).unwrap();
}

#[test]
fn a_wait_that_a_provider_asked_for_is_kept_by_the_process_after_a_kill() {
    let (url, came) = provider();
    let env = TestEnvironment::new();
    env.write(
        "asker/agent.yaml",
        &format!(
            "stead: v1\nname: asker\ninstructions: Be brief.\nmodel: {{ use: \"openai:m\", base_url: \"{url}\", \
             price: {{ input: 1, output: 1 }} }}\n"
        ),
    );
    // It says so only when the wait is durable.
    let running = Serving::start(env.command(["run", "asker", "Are you there?"]), "another attempt follows");
    running.kill();
    let refused = came.recv().unwrap();
    assert!(came.try_recv().is_err(), "it was asked once");
    let resumed = env.stead("run --resume --yes").succeeds();
    assert!(format!("{resumed}").contains("Here I am."), "{resumed}");
    let asked = came.recv().unwrap();
    assert!(asked >= refused + WAIT, "it was asked {:?} after it had refused", asked - refused);
    assert!(came.try_recv().is_err(), "and once again");
}
