package scheduler

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/darter-p2p/darter/internal/liveness"
)

// TestTheGuideNamesEveryThreshold and every alert, and none that does not exist.
func TestTheGuideNamesEveryThreshold(t *testing.T) {
	text, err := os.ReadFile("../../docs/guides/host-liveness.md")
	if err != nil {
		t.Fatal(err)
	}
	var groups map[string]any
	if err := yaml.Unmarshal([]byte(policyDocument(liveness.DefaultPolicy())), &groups); err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for group, v := range groups {
		keys, is := v.(map[string]any)
		if !is {
			continue // the number
		}
		for key := range keys {
			name := "`" + group + "." + key + "`"
			known[name] = true
			if !strings.Contains(string(text), name) {
				t.Errorf("%s is not in the guide", name)
			}
		}
	}
	for _, name := range regexp.MustCompile("`[a-z]+\\.[a-zA-Z]+`").FindAllString(string(text), -1) {
		if group, _, _ := strings.Cut(strings.Trim(name, "`"), "."); groups[group] != nil && !known[name] {
			t.Errorf("%s is in the guide, and there is no such threshold", name)
		}
	}
	alerts, err := os.ReadFile("../../deploy/alerts/liveness.yaml")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`alert: (\w+)`).FindAllStringSubmatch(string(alerts), -1)
	for _, a := range found {
		if !strings.Contains(string(text), "`"+a[1]+"`") {
			t.Errorf("the alert %s is not in the guide", a[1])
		}
	}
	if n := len(regexp.MustCompile("(?m)^\\| `Darter").FindAllString(string(text), -1)); n != len(found) {
		t.Errorf("the guide has %d alerts, there are %d", n, len(found))
	}
}
