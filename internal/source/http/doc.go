// Package http fetches content from web servers.
//
//	Stat ─▶ GET bytes=0-0 ─▶ 206: total, ranges ─┐
//	              │          200: length ────────┼─▶ Info
//	              │          416: GET ───────────┤
//	              └─ no length: HEAD ────────────┘
//
//	Open ─▶ ask ─▶ [try ─▶ hop ─▶ hop …] ─▶ status, range, version as expected? ─▶ body, counted
//	               retried   redirects
//
// It promises, beyond package source's contract:
//
//   - every wait is bounded: for a connection, a handshake, headers, and each next byte;
//   - what may be a credential goes to the host it was meant for, and to no other host that a
//     redirect names; nobody is led from https to http unless Config says so;
//   - certificates are verified;
//   - bodies are read from the connection into the caller's buffer; io.Copy takes a pooled one.
//
// It speaks HTTP/1.1 only, on purpose: parallel ranges want several connections, and HTTP/2 would put
// them on one. It asks for no compression and sends no If-Range: comparing the validators of each
// answer finds the same changes, and servers that get If-Range wrong are many. It deliberately
// resumes nothing after the first byte; fetch asks again for what is missing.
package http
