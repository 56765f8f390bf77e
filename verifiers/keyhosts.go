package verifiers

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

func (p *Provider) parseHosts(field string, hosts []string) ([]*Template, error) {
	var out []*Template
	for i, h := range hosts {
		t, err := p.parseTemplate(fmt.Sprintf("%s[%d]", field, i), h)
		if err != nil {
			return nil, err
		}
		if !t.fixed() {
			return nil, fieldError(field, "%q: a host must not come from the request", h)
		}
		if _, err := path.Match(h, ""); err != nil {
			return nil, fieldError(field, "%q: %w", h, err)
		}
		out = append(out, t)
	}
	return out, nil
}

// allowedHost compares a host with patterns.
func allowedHost(patterns []*Template, a *attempt, host string) bool {
	return slices.ContainsFunc(patterns, func(t *Template) bool { return matchHost(t.string(a), host) })
}

// matchHost knows "host.example", ".example" (any subdomain) and, within one label, what [path.Match] does: "*" and "[a-z]".
func matchHost(pattern, host string) bool {
	host, pattern = strings.ToLower(host), strings.ToLower(pattern)
	if strings.HasPrefix(pattern, ".") {
		return len(host) > len(pattern) && strings.HasSuffix(host, pattern)
	}
	want, got := strings.Split(pattern, "."), strings.Split(host, ".")
	if pattern == "" || len(want) != len(got) {
		return false
	}
	for i := range want {
		if ok, err := path.Match(want[i], got[i]); err != nil || !ok || got[i] == "" {
			return false
		}
	}
	return true
}
