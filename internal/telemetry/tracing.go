package telemetry

import (
	"context"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	oteltrace "go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/daemon/fetch"
)

// TracingConfig says where spans go.
type TracingConfig struct {
	Endpoint string   // host:port of an OTLP gRPC collector; empty leaves it to the standard OTEL_ variables
	Insecure bool     // no TLS
	Ratio    float64  // share of traces taken, 0 to 1
	Headers  []string // key=value, sent to the collector
	Role     string   // service.name is "darter-<role>"
	Version  string
}

// Enabled reports whether anything asks for traces: the setting, or the standard variables.
func (c TracingConfig) Enabled(getenv func(string) string) bool {
	return getenv("OTEL_SDK_DISABLED") != "true" &&
		(c.Endpoint != "" || getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != "")
}

// Tracing sends spans of downloads and of requests to sources. A nil Tracing sends none.
type Tracing struct {
	provider *trace.TracerProvider
	root     context.Context
}

// StartTracing connects to the collector in the background; a collector that is away costs spans only.
func StartTracing(ctx context.Context, c TracingConfig) (*Tracing, error) {
	var opts []otlptracegrpc.Option
	if c.Endpoint != "" {
		opts = append(opts, otlptracegrpc.WithEndpoint(c.Endpoint))
	}
	if c.Insecure {
		opts = append(opts, otlptracegrpc.WithInsecure())
	}
	if len(c.Headers) > 0 {
		headers := map[string]string{}
		for _, h := range c.Headers {
			key, value, _ := strings.Cut(h, "=")
			headers[key] = value
		}
		opts = append(opts, otlptracegrpc.WithHeaders(headers))
	}
	exporter, err := otlptracegrpc.New(ctx, opts...)
	if err != nil {
		return nil, err
	}
	about := resource.NewWithAttributes(semconv.SchemaURL, semconv.ServiceName("darter-"+c.Role), semconv.ServiceVersion(c.Version))
	return &Tracing{root: context.WithoutCancel(ctx), provider: trace.NewTracerProvider(trace.WithBatcher(exporter), trace.WithResource(about),
		trace.WithSampler(trace.ParentBased(trace.TraceIDRatioBased(c.Ratio))))}, nil
}

// spans makes one span per download, with its failures as events, and one per request to a source.
type spans struct {
	tracer oteltrace.Tracer
	root   context.Context // without end: events carry no context, and spans outlive calls

	mu struct {
		sync.Mutex
		open map[darter.TaskID]oteltrace.Span // one download runs per task
	}
}

func (t *Tracing) spans() *spans {
	if t == nil {
		return nil
	}
	s := &spans{tracer: t.provider.Tracer("github.com/darter-p2p/darter"), root: t.root}
	s.mu.open = map[darter.TaskID]oteltrace.Span{}
	return s
}

func (s *spans) begin(b fetch.Begun) {
	if s == nil {
		return
	}
	_, span := s.tracer.Start(s.root, "download", oteltrace.WithNewRoot(), oteltrace.WithAttributes(
		attribute.String("darter.task", string(b.Task)), attribute.String("darter.peer", string(b.Peer)), attribute.String("url.full", b.URL)))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.open[b.Task] = span
}

func (s *spans) note(task darter.TaskID, what string) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if span := s.mu.open[task]; span != nil {
		span.AddEvent(what)
	}
}

func (s *spans) end(e fetch.Ended) {
	if s == nil {
		return
	}
	s.mu.Lock()
	span := s.mu.open[e.Task]
	delete(s.mu.open, e.Task)
	s.mu.Unlock()
	if span == nil {
		return
	}
	for traffic, n := range e.Bytes {
		span.SetAttributes(attribute.Int64("darter.bytes."+darter.Traffic(traffic).String(), n))
	}
	if e.Err != nil && !e.Abandoned {
		span.SetStatus(codes.Error, darter.KindOf(e.Err).String())
	}
	span.End()
}

func (s *spans) source(url string, took time.Duration, err error) {
	if s == nil {
		return
	}
	now := time.Now()
	_, span := s.tracer.Start(s.root, "source request", oteltrace.WithNewRoot(), oteltrace.WithSpanKind(oteltrace.SpanKindClient),
		oteltrace.WithTimestamp(now.Add(-took)), oteltrace.WithAttributes(attribute.String("url.full", url)))
	if err != nil {
		span.SetStatus(codes.Error, darter.KindOf(err).String())
	}
	span.End(oteltrace.WithTimestamp(now))
}

// ServerOptions are for a gRPC server whose calls become spans.
func (t *Tracing) ServerOptions() []grpc.ServerOption {
	if t == nil {
		return nil
	}
	return []grpc.ServerOption{grpc.StatsHandler(otelgrpc.NewServerHandler(otelgrpc.WithTracerProvider(t.provider),
		otelgrpc.WithPropagators(propagation.TraceContext{})))}
}

// Stop sends what is left, for a few seconds at most.
func (t *Tracing) Stop(ctx context.Context) error {
	if t == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	return t.provider.Shutdown(ctx)
}
