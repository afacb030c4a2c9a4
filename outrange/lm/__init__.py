"""Small language models, as Hugging Face models: configurations, tokenizers, training."""
