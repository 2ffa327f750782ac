"""How to come close, on a newer processor, to one that has AVX2 but neither AVX-512 nor bf16."""

AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
