//! An MQTT client over TCP, TLS and WebSocket that reconnects, resumes and tells the truth about every message.
