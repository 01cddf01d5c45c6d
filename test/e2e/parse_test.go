package e2e

import (
	"slices"
	"testing"
)

func TestSumMetricAddsOverLabels(t *testing.T) {
	text := "# HELP a_total x\n# TYPE a_total counter\na_total{k=\"v w\"} 3\na_total{k=\"}\"} 4.5\nb_total 1\nx_a_total 2\n"
	if got, err := sumMetric(text, "a_total"); err != nil || got != 9.5 {
		t.Errorf("sum = %v, %v; want 9.5", got, err)
	}
	if _, err := sumMetric(text, "c_total"); err == nil {
		t.Error("a metric that is not there was found")
	}
}

func TestHostnamesReadsListAndObject(t *testing.T) {
	for _, text := range []string{`[{"hostname":"a"},{"hostname":"b"}]`, `{"hosts":[{"hostname":"a"},{"hostname":"b"}]}`} {
		got, err := hostnames(text)
		if err != nil || !slices.Equal(got, []string{"a", "b"}) {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", `[{"name":"a"}]`} {
		if got, err := hostnames(text); err == nil {
			t.Errorf("%q gave %v", text, got)
		}
	}
}
