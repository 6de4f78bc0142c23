//! An MQTT broker to embed: give it any byte stream, or let it listen on TCP, TLS, WebSocket.
