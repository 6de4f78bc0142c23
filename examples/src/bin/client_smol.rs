//! A client on smol: the same program as `client_tokio`, no tokio runtime in it.

use mqttkit_client::transport::SmolRuntime;
use mqttkit_examples::conversation::{conversation, url};
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    smol::block_on(conversation(&SmolRuntime::new(), &url()))
}
