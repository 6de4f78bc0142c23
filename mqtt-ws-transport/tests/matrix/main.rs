//! Every runtime × tcp, tls, ws, wss × client, server: the same bodies, generic over `Runtime`, on real sockets.
//!
//! As `client` and as `server` our side runs on the runtime and the other side has no line of ours in it: blocking
//! sockets, rustls and tungstenite on a thread. As `link` both sides are ours. `runtime` is what the runtime itself
//! must do.
#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub, reason = "a test fails by panicking")]
#![cfg(all(feature = "tokio", feature = "async-std", feature = "smol", feature = "aws-lc-rs"))]

mod client;
mod link;
mod on;
mod runtime;
mod server;
#[path = "../support/mod.rs"]
mod support;

/// The bodies of `module` as tests on the runtime `$on`, with the scheme in `$scheme`, where there is one.
macro_rules! tests {
    ($module:ident, $on:ident, $scheme:tt; $($body:ident)*) => {$( test! { $module, $on, $scheme, $body } )*};
}

macro_rules! test {
    ($module:ident, $on:ident, ($($scheme:ident)?), $body:ident) => {
        #[test]
        fn $body() {
            crate::on::run::<crate::on::$on, _>(|runtime| {
                crate::$module::$body(runtime $(, mqttkit_ws_transport::Scheme::$scheme)?)
            });
        }
    };
}

macro_rules! schemes {
    ($on:ident; $($name:ident $scheme:ident)*) => {$(
        mod $name {
            mod client {
                tests! { client, $on, ($scheme);
                    every_size_comes_back
                    what_is_sent_at_once_comes_back
                    we_close
                    the_peer_closes
                    a_silent_peer_is_given_up
                    a_peer_that_leaves_is_an_error
                    a_peer_that_speaks_something_else_is_an_error
                    a_dropped_attempt_lets_go_of_the_socket
                }
            }
            mod server {
                tests! { server, $on, ($scheme);
                    every_size_comes_back
                    the_peer_is_described
                    we_close
                    the_peer_closes
                    a_silent_client_is_given_up_and_stalls_nobody
                    a_client_that_leaves_is_an_error
                    a_client_that_speaks_something_else_is_an_error
                    many_at_once
                }
            }
            mod link {
                tests! { link, $on, ($scheme);
                    every_size
                    both_ways_at_once
                    the_client_closes
                    the_server_closes
                    both_close
                    half_a_close
                    a_drop_is_no_goodbye
                }
            }
        }
    )*};
}

macro_rules! matrix {
    ($($name:ident $on:ident)*) => {$(
        mod $name {
            mod runtime {
                tests! { runtime, $on, ();
                    timers_end_in_their_order
                    a_timer_can_be_reset_whenever
                    a_timeout_drops_what_took_too_long
                    tasks_run_in_the_background
                    names_are_resolved_off_the_executor
                    a_closed_port_refuses
                    a_listener_listens_again_at_once
                    the_backlog_is_obeyed
                    an_accept_can_be_dropped
                    a_half_closed_socket_still_carries_the_other_half
                    a_flood_leaves_the_others_their_turn
                    slices_are_written_in_order
                }
            }
            schemes! { $on; tcp Tcp tls Tls ws Ws wss Wss }
        }
    )*};
}

matrix! {
    tokio_current_thread TokioCurrentThread
    tokio_multi_thread TokioMultiThread
    async_std AsyncStd
    smol_global Smol
    smol_own_executor SmolOwnExecutor
}
