//! Storage that counts, and storage that lies and crashes.
