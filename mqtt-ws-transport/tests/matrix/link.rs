//! Both sides ours, over a real socket of the runtime.

use crate::on::tls;
use crate::support::{bodies, recv_exact};
use futures_util::future::join;
use mqttkit_ws_transport::{
    Accepted, Acceptor, LinkExt, ListenOptions, Listener, NetLink, Runtime, Scheme, connect,
};

async fn pair<R: Runtime>(runtime: &R, scheme: Scheme) -> (NetLink<R::Stream>, NetLink<R::Stream>) {
    let listener = runtime.listen("127.0.0.1:0".parse().unwrap(), &ListenOptions::default()).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = Acceptor::new(runtime.clone(), scheme, tls().accept.clone()).unwrap();
    let client = async {
        let endpoint = format!("{scheme}://localhost:{port}").parse().unwrap();
        let mut link = connect(runtime, &endpoint, &tls().connect).await.unwrap();
        link.send_all(&mut &bodies::HELLO[..]).await.unwrap();
        assert_eq!(recv_exact(&mut link, bodies::HELLO.len()).await, bodies::HELLO);
        link
    };
    let server = async {
        let (socket, address) = listener.accept().await.unwrap();
        match acceptor.accept(socket, Some(address)).await.unwrap() {
            Accepted::Link(mut link, _) => {
                assert_eq!(recv_exact(&mut link, bodies::HELLO.len()).await, bodies::HELLO);
                link.send_all(&mut &bodies::HELLO[..]).await.unwrap();
                link
            }
            other => panic!("{other:?}"),
        }
    };
    join(client, server).await
}

pub async fn every_size<R: Runtime>(runtime: R, scheme: Scheme) {
    let (client, server) = pair(&runtime, scheme).await;
    bodies::every_size(client, server, usize::MAX).await;
}

pub async fn both_ways_at_once<R: Runtime>(runtime: R, scheme: Scheme) {
    let (client, server) = pair(&runtime, scheme).await;
    bodies::both_ways_at_once(client, server, 700_000).await;
}

pub async fn the_client_closes<R: Runtime>(runtime: R, scheme: Scheme) {
    let (client, server) = pair(&runtime, scheme).await;
    bodies::the_client_closes(client, server).await;
}

pub async fn the_server_closes<R: Runtime>(runtime: R, scheme: Scheme) {
    let (client, server) = pair(&runtime, scheme).await;
    bodies::the_server_closes(client, server).await;
}

pub async fn both_close<R: Runtime>(runtime: R, scheme: Scheme) {
    let (client, server) = pair(&runtime, scheme).await;
    bodies::both_close(client, server).await;
}

pub async fn half_a_close<R: Runtime>(runtime: R, scheme: Scheme) {
    let (client, server) = pair(&runtime, scheme).await;
    bodies::half_a_close(client, server, scheme).await;
}

pub async fn a_drop_is_no_goodbye<R: Runtime>(runtime: R, scheme: Scheme) {
    let (client, server) = pair(&runtime, scheme).await;
    bodies::a_drop_is_no_goodbye(client, server, scheme).await;
}
