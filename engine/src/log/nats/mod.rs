//! The log on NATS JetStream: one stream.
