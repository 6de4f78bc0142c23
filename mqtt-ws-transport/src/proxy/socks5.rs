//! SOCKS5, RFC 1928, with user name and password, RFC 1929.

use super::io::{fill, read_exact, send};
use super::{Credentials, ProxyError, SocksReply};
use crate::io::ByteStream;
use crate::url::{Endpoint, Host};
use std::net::IpAddr;

const VERSION: u8 = 5;
const NO_AUTHENTICATION: u8 = 0;
const USER_PASSWORD: u8 = 2;
const NONE_ACCEPTABLE: u8 = 0xFF;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

pub(super) async fn tunnel<S: ByteStream>(
    credentials: Option<&Credentials>,
    stream: &mut S,
    endpoint: &Endpoint,
) -> Result<(), ProxyError> {
    // Both are made first: what cannot be sent shall not be found out half-way.
    let request = request(endpoint)?;
    let login = credentials.map(login).transpose()?;

    let methods: &[u8] =
        if login.is_some() { &[NO_AUTHENTICATION, USER_PASSWORD] } else { &[NO_AUTHENTICATION] };
    send(stream, &[&[VERSION, methods.len() as u8], methods].concat()).await?;
    let [version, method] = read_exact(stream).await?;
    match (version, method, login) {
        (VERSION, NO_AUTHENTICATION, _) => {}
        (VERSION, USER_PASSWORD, Some(login)) => {
            send(stream, &login).await?;
            let [_, status] = read_exact(stream).await?;
            if status != 0 {
                return Err(ProxyError::AuthenticationRequired { refused: true, challenge: None });
            }
        }
        (VERSION, NONE_ACCEPTABLE, login) => {
            return Err(ProxyError::AuthenticationRequired { refused: login.is_some(), challenge: None });
        }
        _ => return Err(ProxyError::NotAProxy { first: vec![version, method] }),
    }

    send(stream, &request).await?;
    let [version, reply, reserved, kind] = read_exact(stream).await?;
    if version != VERSION {
        return Err(ProxyError::NotAProxy { first: vec![version, reply, reserved, kind] });
    }
    if reply != 0 {
        return Err(ProxyError::Socks(SocksReply::new(reply)));
    }
    // The address the proxy connects from means nothing to us, but must be read to its end.
    let length = match kind {
        IPV4 => 4,
        IPV6 => 16,
        NAME => usize::from(read_exact::<_, 1>(stream).await?[0]),
        _ => return Err(ProxyError::NotAProxy { first: vec![version, reply, reserved, kind] }),
    };
    let mut address = [0; 255 + 2];
    fill(stream, &mut address[..length + 2]).await
}

fn request(endpoint: &Endpoint) -> Result<Vec<u8>, ProxyError> {
    let mut request = vec![VERSION, CONNECT, 0];
    match endpoint.host() {
        Host::Ip(IpAddr::V4(ip)) => {
            request.push(IPV4);
            request.extend(ip.octets());
        }
        Host::Ip(IpAddr::V6(ip)) => {
            request.push(IPV6);
            request.extend(ip.octets());
        }
        Host::Name(name) => {
            request.extend([NAME, u8::try_from(name.len()).map_err(|_| ProxyError::NameTooLong)?]);
            request.extend(name.bytes());
        }
    }
    request.extend(endpoint.port().to_be_bytes());
    Ok(request)
}

fn login(credentials: &Credentials) -> Result<Vec<u8>, ProxyError> {
    let length = |text: &str| u8::try_from(text.len()).map_err(|_| ProxyError::BadCredentials);
    let Credentials { username, password } = credentials;
    if username.is_empty() {
        return Err(ProxyError::BadCredentials);
    }
    let mut login = vec![1, length(username)?];
    login.extend(username.bytes());
    login.push(length(password)?);
    login.extend(password.bytes());
    Ok(login)
}
