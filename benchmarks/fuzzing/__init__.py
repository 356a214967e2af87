"""Parts of the fuzzer: whole files, ways to damage them, readers, and processes that survive a crash."""
