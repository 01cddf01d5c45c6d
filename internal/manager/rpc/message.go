package rpc

import (
	"bytes"
	"encoding/json"

	managerv2 "d7y.io/api/v2/pkg/apis/manager/v2"
)

func state(active bool) string {
	if active {
		return "active"
	}
	return "inactive"
}

// scheduler writes a scheduler with its cluster, and with the cluster's seed peers where the reference does.
func (v *view) scheduler(m Member, seeds bool) *managerv2.Scheduler {
	features, err := json.Marshal(append([]string{}, m.Features...))
	if err != nil || len(m.Features) == 0 { // texts always marshal
		features = []byte(`["schedule"]`)
	}
	out := &managerv2.Scheduler{
		Id: m.ID, Hostname: m.Hostname, Idc: optional(m.IDC), Location: optional(m.Location), Ip: m.IP.String(), Port: int32(m.Port),
		State: state(m.Active), SchedulerClusterId: m.Cluster, Features: features, SchedulerCluster: v.cluster(m.Cluster),
	}
	if !seeds {
		return out
	}
	for _, s := range v.Members {
		if s.Kind == SeedKind && s.Cluster == m.Cluster && s.Active && !s.Draining {
			out.SeedPeers = append(out.SeedPeers, v.seed(s))
		}
	}
	return out
}

func (v *view) seed(m Member) *managerv2.SeedPeer {
	c := v.clusters[m.Cluster]
	if c == nil {
		c = &Cluster{ID: m.Cluster}
	}
	return &managerv2.SeedPeer{
		Id: m.ID, Hostname: m.Hostname, Type: "super", Idc: optional(m.IDC), Location: optional(m.Location), Ip: m.IP.String(), Port: int32(m.Port),
		DownloadPort: int32(m.DownloadPort), State: state(m.Active), SeedPeerClusterId: m.Cluster,
		SeedPeerCluster: &managerv2.SeedPeerCluster{Id: c.ID, Name: c.Name, Bio: c.Bio, Config: object(c.Client)},
	}
}

func (v *view) cluster(id uint64) *managerv2.SchedulerCluster {
	c := v.clusters[id]
	if c == nil {
		c = &Cluster{ID: id}
	}
	scopes, err := json.Marshal(map[string]any{"idc": c.IDC, "location": c.Location, "cidrs": append([]string{}, c.Networks...), "hostnames": append([]string{}, c.Hostnames...)})
	if err != nil { // texts always marshal
		scopes = []byte("{}")
	}
	return &managerv2.SchedulerCluster{Id: c.ID, Name: c.Name, Bio: c.Bio, Config: object(c.Scheduler), ClientConfig: object(c.Client), Scopes: scopes, SeedClientConfig: object(c.Client)}
}

// object returns a configuration as plain daemons can read it: an object, {} meaning "no rules", in which nothing is
// null. One null within a list's place makes them refuse the whole.
func object(raw json.RawMessage) []byte {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v map[string]any
	if len(raw) == 0 || d.Decode(&v) != nil || v == nil {
		return []byte("{}")
	}
	out, err := json.Marshal(withoutNull(v))
	if err != nil {
		return []byte("{}")
	}
	return out
}

func withoutNull(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name, inner := range v {
			if inner == nil {
				delete(v, name)
				continue
			}
			v[name] = withoutNull(inner)
		}
	case []any:
		for i := range v {
			v[i] = withoutNull(v[i])
		}
	}
	return v
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
