//! One node's runtime socket: a connection per request, as HAProxy closes it after the answer.

use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use crate::systems::{Certainty, DriverError, Result};

const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// An answer is never longer than this; `show stat` has about 500 bytes a server.
const ANSWER_BYTES: u64 = 16 * 1024 * 1024;

/// A runtime socket: a path, or `host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket {
    /// How errors call it.
    pub system: String,
    /// Where it is.
    pub address: String,
}

impl Socket {
    /// Sends a line and gives the whole answer.
    pub async fn ask(&self, what: &str, line: &str) -> Result<String> {
        match tokio::time::timeout(ANSWER_LIMIT, self.exchange(what, line)).await {
            Ok(answer) => answer,
            Err(_) => {
                let reason = format!("no answer to `{line}` within {} s", ANSWER_LIMIT.as_secs());
                Err(DriverError::new(&self.system, what, reason, Certainty::Unknown))
            }
        }
    }

    async fn exchange(&self, what: &str, line: &str) -> Result<String> {
        let address = self.address.strip_prefix("unix:").unwrap_or(&self.address);
        let refused = |error: std::io::Error| {
            let hint = "is HAProxy running, and is this a `stats socket` with `level admin`?";
            DriverError::new(&self.system, what, format!("connect: {error}"), Certainty::NotSent).with_hint(hint)
        };
        let sent = if Path::new(address).is_absolute() {
            speak(UnixStream::connect(address).await.map_err(refused)?, line).await
        } else {
            speak(TcpStream::connect(address).await.map_err(refused)?, line).await
        };
        sent.map_err(|error| DriverError::new(&self.system, what, error, Certainty::Unknown))
    }
}

async fn speak(mut stream: impl AsyncRead + AsyncWrite + Unpin, line: &str) -> std::io::Result<String> {
    stream.write_all(format!("{line}\n").as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES).read_to_end(&mut answer).await?;
    if answer.is_empty() {
        return Err(std::io::Error::other("it closed the connection without an answer"));
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
