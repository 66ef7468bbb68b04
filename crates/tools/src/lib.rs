//! Tools: SQL, HTTP templates, MCP over stdio
