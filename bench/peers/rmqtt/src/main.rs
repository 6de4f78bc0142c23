//! rmqtt on one port: `bench-rmqtt PORT tcp|tls|ws|wss [CERT KEY]`.

use std::num::NonZeroU16;

use rmqtt::Result;
use rmqtt::context::ServerContext;
use rmqtt::net::Builder;
use rmqtt::server::MqttServer;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(port), Some(transport)) = (arguments.next(), arguments.next()) else {
        return Err(rmqtt::net::Error::msg("a port and a transport are wanted"));
    };
    // It turns no client away because the processor is busy.
    let context = ServerContext::new().busy_check_enable(false).build().await;
    rmqtt_retainer::register(&context, true, false).await?;
    rmqtt_shared_subscription::register(&context, true, false).await?;

    // With TCP_NODELAY, and queues that hold what 10,000 clients and the fastest publishers bring: by default a client that
    // has 1,000 messages waiting loses the next.
    let builder = Builder::new()
        .name("bench")
        .laddr(format!("127.0.0.1:{port}").parse()?)
        .nodelay(true)
        .allow_anonymous(true)
        .backlog(4096)
        .max_connections(30_000)
        .max_handshaking_limit(20_000)
        .max_inflight(NonZeroU16::new(1024).unwrap_or(NonZeroU16::MAX))
        .max_mqueue_len(100_000)
        .tls_cert(arguments.next())
        .tls_key(arguments.next())
        .bind()?;
    let listener = match transport.as_str() {
        "tcp" => builder.tcp()?,
        "tls" => builder.tls()?,
        "ws" => builder.ws()?,
        _ => builder.wss()?,
    };
    MqttServer::new(context).listener(listener).build().run().await
}
