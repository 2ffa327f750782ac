"""Vision-language models from elsewhere: opened with their processors, asked, and seen while they answer."""
