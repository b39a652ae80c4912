"""HTTP/1.1 as this server takes it: heads, bodies, codings, answers, who is let in."""
