//! The client and transport examples as programs, and client and broker together on each runtime, all four schemes.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use mqttkit_broker_core::{Broker, Listen};
use mqttkit_client::transport::tls::{ClientTls, SelfSigned, ServerTls, self_signed};
use mqttkit_client::transport::{
    AcceptOptions, AsyncStdRuntime, Runtime, Scheme, SmolRuntime, TokioRuntime, rt,
};
use mqttkit_client::{Client, QoS};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_same_client_on_each_runtime() {
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (_broker, urls) = tokio.block_on(async {
        let broker = Broker::builder().build();
        let mut urls = Vec::new();
        for scheme in [Scheme::Tcp, Scheme::Ws] {
            let listening = broker.listen(Listen::new(scheme, ([127, 0, 0, 1], 0))).await.unwrap();
            urls.push(format!("{scheme}://localhost:{}", listening.local_addr().port()));
        }
        (broker, urls)
    });
    let programs = [
        env!("CARGO_BIN_EXE_client_tokio"),
        env!("CARGO_BIN_EXE_client_async_std"),
        env!("CARGO_BIN_EXE_client_smol"),
    ];
    for program in programs {
        for url in &urls {
            let said = run(program, &[url]);
            assert!(said.contains("the server has it"), "{said}");
            assert!(said.contains("received b\"hello\" on conversation/"), "{said}");
        }
    }
}

#[test]
fn a_pipe_in_memory() {
    let said = run(env!("CARGO_BIN_EXE_custom_memory"), &[]);
    assert_eq!(said, "received b\"hello through memory\" on greetings\n");
}

#[cfg(unix)]
#[test]
fn a_unix_socket() {
    let said = run(env!("CARGO_BIN_EXE_custom_unix_socket"), &[]);
    assert_eq!(said, "received b\"hello through a Unix socket\" on greetings\n");
}

/// Broker and client, both on `runtime`; on others than tokio's there is no tokio runtime, and whoever called for it
/// would panic.
async fn together<R: Runtime>(runtime: R) {
    let SelfSigned { certificate_pem, key_pem, .. } = self_signed(&["localhost"]).unwrap();
    let accept =
        AcceptOptions::new().tls(ServerTls::from_pem(certificate_pem.clone(), key_pem).build().unwrap());
    let trust = Arc::new(ClientTls::new().only_given_cas().ca_pem(certificate_pem).build().unwrap());
    let broker = Broker::builder().build_with(runtime.clone());
    for scheme in Scheme::ALL {
        let listen = Listen::new(scheme, ([127, 0, 0, 1], 0)).options(accept.clone());
        let listening = broker.listen(listen).await.unwrap();
        let url = format!("{scheme}://localhost:{}", listening.local_addr().port());
        let (client, mut messages) = Client::builder(&url)
            .transport(|t| t.tls(Arc::clone(&trust)))
            .connect_on(&runtime)
            .await
            .unwrap();
        client.subscribe("a/#", QoS::ExactlyOnce).await.unwrap();
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
            for size in [0, 1, 100_000] {
                let sent = vec![7; size];
                let ticket = client.publish("a/b", sent.clone(), qos).await.unwrap();
                assert_eq!(messages.recv().await.unwrap().payload, sent, "{scheme}");
                ticket.await.unwrap();
            }
        }
        client.disconnect().await.unwrap();
        assert!(messages.recv().await.is_none());
        listening.stop().await;
    }
    assert!(broker.shutdown(Duration::from_secs(10)).await, "everybody leaves in time");
}

async fn in_time<R: Runtime>(runtime: R) {
    let limit = runtime.clone();
    let together = Box::pin(together(runtime));
    rt::timeout(&limit, Duration::from_secs(60), together).await.unwrap();
}

#[test]
fn client_and_broker_on_tokio() {
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio.block_on(async { in_time(TokioRuntime::new()).await });
}

#[test]
fn client_and_broker_on_async_std() {
    async_std::task::block_on(async {
        assert!(tokio::runtime::Handle::try_current().is_err());
        in_time(AsyncStdRuntime::new()).await;
    });
}

#[test]
fn client_and_broker_on_smol() {
    smol::block_on(async {
        assert!(tokio::runtime::Handle::try_current().is_err());
        in_time(SmolRuntime::new()).await;
    });
}

/// One thread for everything: nothing may block it, or the other side would never answer.
#[test]
fn client_and_broker_on_one_thread_of_smol() {
    let executor = Arc::new(smol::Executor::new());
    smol::block_on(executor.run(in_time(SmolRuntime::on(Arc::clone(&executor)))));
}
