//! A client on tokio. `client_async_std` and `client_smol` are the same program on their runtimes.

use mqttkit_client::transport::TokioRuntime;
use mqttkit_examples::conversation::{conversation, url};
use std::error::Error;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    // For tokio `connect()` would do; with the runtime named, all three programs are alike.
    conversation(&TokioRuntime::new(), &url()).await
}
