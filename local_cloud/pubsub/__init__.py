"""A durable Pub/Sub on loopback, driven by Google's own client.

It keeps what Google keeps: a publish that was answered survives the end of the
process at any moment. It refuses, with `UNIMPLEMENTED`, what it does not know,
instead of accepting and ignoring it.

Source: googleapis, google/pubsub/v1/pubsub.proto; cloud.google.com/pubsub/docs
"""
