//! RabbitMQ: a connection kept alive, topology, arrivals that know their link, confirmed publishing.
