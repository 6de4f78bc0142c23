//! MQTT over WebSocket, TCP and TLS as a stream of bytes, on any runtime.
