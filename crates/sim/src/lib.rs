//! Seeded simulator of the core and the engine with faulty ports
