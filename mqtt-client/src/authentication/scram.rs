//! `ScramSha256`: SCRAM-SHA-256, RFC 5802 and RFC 7677. The password is never sent, and the server proves that it knows it.

use super::{Authenticator, Exchange};
use crate::promise::promise;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use mqttkit_ws_transport::BoxError;
use sha2::{Digest, Sha256};
use std::fmt;
use std::ops::RangeInclusive;
use std::str;
use std::sync::{Arc, Mutex, PoisonError};

/// Authenticates by user name and password with SCRAM-SHA-256, without channel binding.
///
/// The server must know the password, too: a connection to one that does not is not used. User name and password are
/// brought into the form that RFC 4013 (SASLprep) prescribes.
///
/// The salted password is kept for the next connection, so that a reconnect costs nothing; while it is computed, in a
/// thread of its own, the client goes on.
///
/// ```
/// use mqttkit_client::{Client, authentication::ScramSha256};
///
/// let options = Client::builder("mqtts://broker.example").authenticator(ScramSha256::new("ann", "secret")?);
/// # drop(options);
/// # Ok::<(), mqttkit_client::authentication::ScramError>(())
/// ```
pub struct ScramSha256 {
    /// With `=2C` and `=3D` for what would end it.
    user: String,
    authorise_as: Option<String>,
    password: Arc<str>,
    iterations: RangeInclusive<u32>,
    salted: Mutex<Option<Salted>>,
}

/// Why SCRAM failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScramError {
    /// User name or password has characters that are not allowed, or is empty.
    #[error("SCRAM: {0} is empty or has characters that are not allowed")]
    Text(&'static str),
    /// The server's message is not one of SCRAM.
    #[error("SCRAM: the server's {0} is missing or malformed")]
    Malformed(&'static str),
    /// The server's nonce does not begin with ours: somebody repeats an old exchange.
    #[error("SCRAM: the server's nonce does not continue ours")]
    Nonce,
    /// The server demands an extension that is unknown here.
    #[error("SCRAM: the server demands an unknown extension")]
    Extension,
    /// So few iterations that the password could be guessed from what is sent, or so many that the client would be busy
    /// for long. See [`ScramSha256::iterations`].
    #[error("SCRAM: the server asks for {0} iterations")]
    Iterations(u32),
    /// The server refused, in its own words.
    #[error("SCRAM: the server says {0:?}")]
    Server(String),
    /// The server does not know the password.
    #[error("SCRAM: the server's signature is wrong: it does not know the password")]
    Signature,
    /// The system has no randomness or no threads to give.
    #[error("SCRAM: the system gives no {0}")]
    System(&'static str),
}

/// A password that was salted, and with what.
#[derive(Clone)]
struct Salted {
    salt: Vec<u8>,
    iterations: u32,
    password: [u8; 32],
}

impl ScramSha256 {
    /// For this user and password.
    ///
    /// # Errors
    /// [`ScramError::Text`]: one of them is empty or has characters that SASLprep forbids, control characters for instance.
    pub fn new(user_name: &str, password: &str) -> Result<Self, ScramError> {
        let prepare = |text, what| match stringprep::saslprep(text) {
            Ok(text) if !text.is_empty() => Ok(text.into_owned()),
            _ => Err(ScramError::Text(what)),
        };
        Ok(Self {
            user: escaped(&prepare(user_name, "user name")?),
            authorise_as: None,
            password: prepare(password, "password")?.into(),
            iterations: 4096..=1_000_000,
            salted: Mutex::new(None),
        })
    }

    /// Acts as another user, if the server lets this one.
    #[must_use]
    pub fn authorise_as(mut self, user_name: &str) -> Self {
        self.authorise_as = Some(escaped(user_name));
        self
    }

    /// How many iterations the server may ask for. Default 4,096, the least that RFC 7677 allows, to 1,000,000, which
    /// take up to a second.
    #[must_use]
    pub fn iterations(mut self, iterations: RangeInclusive<u32>) -> Self {
        self.iterations = iterations;
        self
    }

    /// The salted password: the one from last time if salt and iterations are the same.
    async fn salted(&self, salt: Vec<u8>, iterations: u32) -> Result<[u8; 32], ScramError> {
        let known = self.salted.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(known) = known.filter(|known| known.salt == salt && known.iterations == iterations) {
            return Ok(known.password);
        }
        let password = Arc::clone(&self.password);
        let (resolver, salted) = promise();
        let thread = std::thread::Builder::new().name("mqttkit-scram".into());
        let work = move || {
            let password = pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(password.as_bytes(), &salt, iterations);
            resolver.resolve(Salted { salt, iterations, password });
        };
        thread.spawn(work).map_err(|_| ScramError::System("thread"))?;
        let salted = salted.await.ok_or(ScramError::System("thread"))?;
        let password = salted.password;
        *self.salted.lock().unwrap_or_else(PoisonError::into_inner) = Some(salted);
        Ok(password)
    }

    async fn prove(&self, mut exchange: Exchange) -> Result<(), BoxError> {
        let first = First::new(self, &nonce()?);
        let challenge = exchange.send(first.message()).await.challenge()?;
        let challenge = Challenge::parse(&challenge, &first.nonce)?;
        if !self.iterations.contains(&challenge.iterations) {
            return Err(ScramError::Iterations(challenge.iterations).into());
        }
        let salted = self.salted(challenge.salt.clone(), challenge.iterations).await?;
        let (message, signature) = first.answer(&challenge, &salted);
        let last = match exchange.send(message).await {
            super::Reply::Accepted(last) => last,
            // Servers may also say it in a round of its own, to which there is nothing to answer.
            super::Reply::Challenge(last) => {
                signature.check(&last)?;
                exchange.send("").await.accepted()?;
                return Ok(());
            }
        };
        Ok(signature.check(&last)?)
    }
}

impl Authenticator for ScramSha256 {
    fn method(&self) -> &'static str {
        "SCRAM-SHA-256"
    }

    async fn authenticate(&self, exchange: Exchange) -> Result<(), BoxError> {
        self.prove(exchange).await
    }
}

impl fmt::Debug for ScramSha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramSha256").field("user", &self.user).finish_non_exhaustive()
    }
}

/// The client's first message.
struct First {
    /// `n,,`: no channel binding.
    header: String,
    bare: String,
    nonce: String,
}

impl First {
    fn new(scram: &ScramSha256, nonce: &str) -> Self {
        let header = match &scram.authorise_as {
            None => "n,,".to_owned(),
            Some(user) => format!("n,a={user},"),
        };
        Self { header, bare: format!("n={},r={nonce}", scram.user), nonce: nonce.to_owned() }
    }

    fn message(&self) -> String {
        format!("{}{}", self.header, self.bare)
    }

    /// The client's last message, and what the server's must be.
    fn answer(&self, challenge: &Challenge, salted: &[u8; 32]) -> (String, Signature) {
        let client_key = mac(salted, b"Client Key").finalize().into_bytes();
        let stored_key = Sha256::digest(client_key);
        let binding = BASE64.encode(&self.header);
        let without_proof = format!("c={binding},r={}", challenge.nonce);
        let signed = format!("{},{},{without_proof}", self.bare, challenge.text);
        let signature = mac(&stored_key, signed.as_bytes()).finalize().into_bytes();
        let proof: Vec<u8> = client_key.iter().zip(signature).map(|(key, sign)| key ^ sign).collect();
        let server_key = mac(salted, b"Server Key").finalize().into_bytes();
        let message = format!("{without_proof},p={}", BASE64.encode(proof));
        (message, Signature(mac(&server_key, signed.as_bytes())))
    }
}

/// The server's first message.
#[derive(Debug)]
struct Challenge {
    text: String,
    nonce: String,
    salt: Vec<u8>,
    iterations: u32,
}

impl Challenge {
    fn parse(data: &[u8], our_nonce: &str) -> Result<Self, ScramError> {
        let text = str::from_utf8(data).map_err(|_| ScramError::Malformed("first message"))?;
        let mut fields = text.split(',');
        let mut field = |name: &str, what| match fields.next() {
            Some(field) if field.starts_with("m=") => Err(ScramError::Extension),
            Some(field) if field.starts_with("e=") => Err(ScramError::Server(field[2..].to_owned())),
            Some(field) => field.strip_prefix(name).ok_or(ScramError::Malformed(what)),
            None => Err(ScramError::Malformed(what)),
        };
        let nonce = field("r=", "nonce")?;
        let salt = BASE64.decode(field("s=", "salt")?).map_err(|_| ScramError::Malformed("salt"))?;
        let iterations = field("i=", "iteration count")?;
        let printable = nonce.bytes().all(|byte| matches!(byte, 0x21..=0x7E));
        // One without a part of the server's could be a repetition.
        if !printable || nonce.len() <= our_nonce.len() || !nonce.starts_with(our_nonce) {
            return Err(ScramError::Nonce);
        }
        let iterations = iterations.parse().map_err(|_| ScramError::Malformed("iteration count"))?;
        Ok(Self { nonce: nonce.to_owned(), salt, iterations, text: text.to_owned() })
    }
}

/// What the server has to prove.
struct Signature(Hmac<Sha256>);

impl Signature {
    fn check(self, last: &[u8]) -> Result<(), ScramError> {
        let text = str::from_utf8(last).map_err(|_| ScramError::Malformed("signature"))?;
        let field = text.split(',').next().unwrap_or_default();
        if let Some(error) = field.strip_prefix("e=") {
            return Err(ScramError::Server(error.to_owned()));
        }
        let signature = field.strip_prefix("v=").and_then(|value| BASE64.decode(value).ok());
        let signature = signature.ok_or(ScramError::Malformed("signature"))?;
        // In constant time.
        self.0.verify_slice(&signature).map_err(|_| ScramError::Signature)
    }
}

fn mac(key: &[u8], data: &[u8]) -> Hmac<Sha256> {
    // What is shorter than a block is filled up with zeros. (RFC 2104)
    let mut block = [0; 64];
    for (place, byte) in block.iter_mut().zip(key) {
        *place = *byte;
    }
    Hmac::new(&block.into()).chain_update(data)
}

/// 24 characters of 18 random bytes.
fn nonce() -> Result<String, ScramError> {
    let mut bytes = [0; 18];
    getrandom::fill(&mut bytes).map_err(|_| ScramError::System("randomness"))?;
    Ok(BASE64.encode(bytes))
}

fn escaped(name: &str) -> String {
    name.replace('=', "=3D").replace(',', "=2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
    const CHALLENGE: &str =
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

    fn answered() -> (String, Signature) {
        let first = First::new(&ScramSha256::new("user", "pencil").unwrap(), NONCE);
        assert_eq!(first.message(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let challenge = Challenge::parse(CHALLENGE.as_bytes(), NONCE).unwrap();
        let salted =
            pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(b"pencil", &challenge.salt, challenge.iterations);
        first.answer(&challenge, &salted)
    }

    #[test]
    fn the_example_of_rfc_7677() {
        let (message, signature) = answered();
        assert_eq!(
            message,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        assert_eq!(signature.check(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="), Ok(()));
    }

    #[test]
    fn a_server_that_does_not_know_the_password_is_found_out() {
        let check = |last: &str| answered().1.check(last.as_bytes()).unwrap_err();
        assert_eq!(
            check("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5="),
            ScramError::Malformed("signature")
        );
        assert_eq!(check("v=AAAATRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="), ScramError::Signature);
        assert_eq!(check("v="), ScramError::Signature);
        assert_eq!(check(""), ScramError::Malformed("signature"));
        assert_eq!(check("e=invalid-proof"), ScramError::Server("invalid-proof".into()));
    }

    #[test]
    fn what_is_no_challenge_is_named() {
        let parse = |text: &str| Challenge::parse(text.as_bytes(), "abc").unwrap_err();
        assert_eq!(parse("r=abc,s=AAAA,i=4096"), ScramError::Nonce, "nothing of the server's own");
        assert_eq!(parse("r=xabcd,s=AAAA,i=4096"), ScramError::Nonce);
        assert_eq!(parse("r=abcd e,s=AAAA,i=4096"), ScramError::Nonce);
        assert_eq!(parse("m=x,r=abcd,s=AAAA,i=4096"), ScramError::Extension);
        assert_eq!(parse("r=abcd,s=?,i=4096"), ScramError::Malformed("salt"));
        assert_eq!(parse("r=abcd,s=AAAA,i=-1"), ScramError::Malformed("iteration count"));
        assert_eq!(parse("r=abcd,s=AAAA"), ScramError::Malformed("iteration count"));
        assert_eq!(parse("e=other-error"), ScramError::Server("other-error".into()));
        assert_eq!(Challenge::parse(&[0xFF], "abc").unwrap_err(), ScramError::Malformed("first message"));
    }

    #[test]
    fn names_are_prepared_and_escaped() {
        // A soft hyphen goes, a Roman numeral becomes letters, what would end the name is escaped.
        let scram = ScramSha256::new("I\u{AD}X,=\u{2168}", "p").unwrap().authorise_as("a,b");
        assert_eq!(First::new(&scram, "n").message(), "n,a=a=2Cb,n=IX=2C=3DIX,r=n");
        assert_eq!(ScramSha256::new("a\u{7}", "p").unwrap_err(), ScramError::Text("user name"));
        assert_eq!(ScramSha256::new("a", "").unwrap_err(), ScramError::Text("password"));
        assert!(!format!("{:?}", ScramSha256::new("a", "secret").unwrap()).contains("secret"));
    }

    #[test]
    fn nonces_differ() {
        assert_ne!(nonce().unwrap(), nonce().unwrap());
    }
}
