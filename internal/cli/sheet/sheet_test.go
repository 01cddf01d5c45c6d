package sheet

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestEachFormatSaysTheSame(t *testing.T) {
	rows := []map[string]any{{"id": "a", "size": 3}}
	table := Table{Head: []string{"ID", "SIZE", "NOTE"}}
	table.Add("a", "3 B", "")
	for format, want := range map[string]string{
		"table": "ID  SIZE  NOTE\na   3 B   -\n",
		"json":  "[\n  {\n    \"id\": \"a\",\n    \"size\": 3\n  }\n]\n",
		"yaml":  "- id: a\n  size: 3\n",
	} {
		var b strings.Builder
		require.NoError(t, Render(&b, format, rows, table))
		require.Equal(t, want, b.String())
		require.NoError(t, Check(format))
	}
	require.ErrorContains(t, Check("csv"), "csv")
	require.ErrorContains(t, Render(&strings.Builder{}, "csv", nil, table), "csv")
}

// TestTextOfOthersStaysInItsCell holds that neither the terminal nor the columns can be steered by content.
func TestTextOfOthersStaysInItsCell(t *testing.T) {
	table := Table{Head: []string{"A", "B"}}
	table.Add("x\ty\nz\x1b[2J", "ü")
	var b strings.Builder
	require.NoError(t, table.Write(&b))
	require.Equal(t, "A          B\nx y z\uFFFD[2J  ü\n", b.String())
}

func TestTextsForPeople(t *testing.T) {
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	require.Equal(t, "-", Ago(time.Time{}, now))
	require.Equal(t, "0s ago", Ago(now.Add(time.Minute), now), "another machine's clock is ahead")
	require.Equal(t, "1m05s ago", When(now.Add(-65*time.Second), now))
	require.Equal(t, "in 3h00m", When(now.Add(3*time.Hour), now))
	require.Equal(t, "7d01h", Clock(169*time.Hour))
	require.Equal(t, "47h59m", Clock(48*time.Hour-time.Minute))
	require.Contains(t, Stamp(now, now.Add(time.Second)), "(1s ago)")
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", -1234567: "-1,234,567", -100: "-100"} {
		require.Equal(t, want, Count(n))
	}
	require.Equal(t, "1.5 MiB", Size(3<<19))
}
