"""One link, one attempt: addresses, HTTP, and what an answer means."""
