// Package telemetry turns what the rooms tell into log lines, metrics and traces.
//
//	rooms ── typed Events ──▶ Daemon, Scheduler, Manager ──▶ one log line (slog) and one metric (Prometheus)
//	                      └─▶ Tracing: a span per download and per request to a source ──▶ OTLP, off until an endpoint is set
//	metrics, health and debug ports ◀── MetricsHandler, Health, DebugHandler
//
// Names are Dragonfly's (dragonfly_client_…, dragonfly_scheduler_…) where the meaning is the same, and
// darter_… for the rest. It promises that labels are resolved before bytes flow, that no label's values
// are chosen by a caller without a bound, and that neither request headers nor secrets of URLs get out.
// It deliberately decides nothing: without it everything works the same.
package telemetry
