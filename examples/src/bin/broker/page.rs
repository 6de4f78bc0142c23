//! The demo page: three files that are part of the program, and MQTT.js where npm has put it.

use std::path::Path;

use bytes::Bytes;
use mqttkit_ws_transport::http::Response;
use mqttkit_ws_transport::http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use mqttkit_ws_transport::ws::{HttpRequest, HttpResponse};

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Where `npm ci` in `examples/web` puts the published library. Without it the page takes it from a CDN.
const LIBRARY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/web/node_modules/mqtt/dist/mqtt.min.js");

/// Answers requests for the page.
pub(crate) fn handler() -> impl Fn(&HttpRequest) -> Option<HttpResponse> + Send + Sync + 'static {
    // Read once: requests must not wait for a disk.
    let library = std::fs::read(Path::new(LIBRARY)).map(Bytes::from).ok();
    move |request| {
        let (content_type, body) = match request.uri().path() {
            "/" | "/index.html" => (HTML, Bytes::from_static(include_bytes!("../../../web/index.html"))),
            "/style.css" => (CSS, Bytes::from_static(include_bytes!("../../../web/style.css"))),
            "/app.js" => (SCRIPT, Bytes::from_static(include_bytes!("../../../web/app.js"))),
            "/mqtt.min.js" => (SCRIPT, library.clone()?),
            _ => return None,
        };
        Response::builder()
            .header(CONTENT_TYPE, content_type)
            .header(CACHE_CONTROL, "no-cache")
            .header(X_CONTENT_TYPE_OPTIONS, "nosniff")
            .body(body)
            .ok()
    }
}
