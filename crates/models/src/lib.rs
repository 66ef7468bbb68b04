//! Model providers: rehearsal, OpenAI-compatible through genai, and the price table
