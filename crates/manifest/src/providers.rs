//! The providers that a manifest may name before the `:` of a model. The names alone: what answers to them is the
//! wiring's, where a test keeps this list equal to what can be called.

/// Every provider, in the order in which they are told.
pub const PROVIDERS: &[&str] = &[
    "openai",
    "openai-responses",
    "anthropic",
    "gemini",
    "azure",
    "openrouter",
    "groq",
    "mistral",
    "deepseek",
    "xai",
    "moonshot",
    "zai",
    "together",
    "fireworks",
    "cerebras",
    "nvidia",
    "huggingface",
    "ollama",
    "lmstudio",
    "llamacpp",
    "vllm",
    "rehearsal",
];
