//! A client on async-std: the same program as `client_tokio`, no tokio runtime in it.
//!
//! async-std is discontinued; a new program is better off with smol, and an old one moves by changing this file.

use mqttkit_client::transport::AsyncStdRuntime;
use mqttkit_examples::conversation::{conversation, url};
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    async_std::task::block_on(conversation(&AsyncStdRuntime::new(), &url()))
}
