//! HTTP/1.1 by hand, as far as the SDK speaks it: a server that may also close, hang or stop in the middle of a reply.

use std::io::{Error, Result};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

/// A request.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// A reply.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        value(&self.headers, name)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Reply {
    pub fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: vec![("content-type".into(), content_type.into())], body: body.into() }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        value(&self.headers, name)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

fn value<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// The next request of a connection; none when the client has closed it.
pub async fn read(stream: &mut BufReader<TcpStream>) -> Result<Option<Request>> {
    let mut line = String::new();
    if stream.read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let (Some(method), Some(target)) = (words.next(), words.next()) else { return Err(Error::other(line)) };
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    assert!(value(&headers, "transfer-encoding").is_none(), "the SDK sends its bodies in one piece");
    let length = value(&headers, "content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(Some(Request { method, target, headers, body }))
}

/// Writes a reply, or only this many bytes of its body.
pub async fn write(stream: &mut BufReader<TcpStream>, reply: &Reply, only: Option<usize>) -> Result<()> {
    let mut head = format!("HTTP/1.1 {} Reply\r\ncontent-length: {}\r\n", reply.status, reply.body.len());
    let ours = ["content-length", "transfer-encoding", "connection", "keep-alive"];
    for (name, value) in &reply.headers {
        if !ours.contains(&name.to_ascii_lowercase().as_str()) {
            head += &format!("{name}: {value}\r\n");
        }
    }
    stream.write_all((head + "\r\n").as_bytes()).await?;
    stream.write_all(&reply.body[..only.unwrap_or(reply.body.len())]).await?;
    stream.flush().await
}

/// Sends a request on to an emulator.
pub async fn forward(client: &reqwest::Client, to: &str, request: &Request) -> Reply {
    let method = reqwest::Method::from_bytes(request.method.as_bytes()).unwrap();
    let mut sent = client.request(method, format!("{to}{}", request.target)).body(request.body.clone());
    let ours = ["connection", "content-length"];
    for (name, value) in request.headers.iter().filter(|(name, _)| !ours.contains(&name.to_ascii_lowercase().as_str()))
    {
        sent = sent.header(name, value);
    }
    let answer = sent.send().await.unwrap_or_else(|error| panic!("the emulator at {to} does not answer: {error:?}"));
    let status = answer.status().as_u16();
    let headers = answer.headers().iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    let headers = headers.collect();
    Reply { status, headers, body: answer.bytes().await.unwrap().into() }
}
