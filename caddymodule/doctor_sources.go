package caddymodule

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/dustin/go-humanize"

	"github.com/sluice-webhooks/sluice/verifiers"
)

// oldSecret is how long a secret's file may stay as it is without a hint to rotate it.
const oldSecret = 365 * 24 * time.Hour

func bytesText(n int64) string { return humanize.IBytes(uint64(max(0, n))) }

// liveSecret is a secret of a source with what is known of it.
type liveSecret struct {
	source string
	label  string
	value  []byte
	mtime  time.Time // of its file; zero if it is from none
}

// inventory copies what the doctor needs to know of the secrets.
func (set *secretSet) inventory(source string) []liveSecret {
	set.mu.Lock()
	defer set.mu.Unlock()
	out := make([]liveSecret, len(set.sources))
	for i, s := range set.sources {
		out[i] = liveSecret{source: source, label: s.label(), value: s.value, mtime: s.mtime}
	}
	return out
}

// checkSources looks at what arrives.
func (g *gateway) checkSources(_ context.Context, status *statusView) []healthNote {
	var notes []healthNote
	for i := range status.Sources {
		s := &status.Sources[i]
		accepted, refused := s.Requests[resultAccepted]+s.Requests[resultDuplicate], s.Requests[resultRefused]
		switch {
		case !s.Configured:
			continue
		case refused > 0 && accepted == 0:
			notes = append(notes, healthNote{
				Check: "source", Target: s.Name, Level: levelFail, Text: fmt.Sprintf("all %d requests were refused %s", refused, describeCounts(s.Refused)),
				Advice: "`caddy webhooks quarantine --source " + s.Name + "` says why",
			})
		case s.Requests[resultError] > 0:
			notes = append(notes, healthNote{
				Check: "source", Target: s.Name, Level: levelWarn, Text: fmt.Sprintf("%d requests were answered 503 since the process started", s.Requests[resultError]),
				Advice: "providers send them again; Caddy's log says why",
			})
		case len(s.Forwards) == 0:
			notes = append(notes, healthNote{
				Check: "source", Target: s.Name, Level: levelWarn, Text: "its events go nowhere", Advice: "add `forward <destination>`, unless storing them is all you want",
			})
		default:
			notes = append(notes, healthNote{Check: "source", Target: s.Name, Level: levelOK, Text: fmt.Sprintf("%d events accepted", s.Accepted)})
		}
		if s.UnsignedOK && s.Token == "" {
			notes = append(notes, healthNote{
				Check: "source", Target: s.Name, Level: levelWarn, Text: "nothing vouches for its requests (unsigned_ok)",
				Advice: "make sure that only the provider reaches it: `remote_ip` or a token in the address",
			})
		}
	}
	return notes
}

// checkSecrets looks for secrets that cannot be read any more, are shared, old, unused, or written in the configuration.
func (g *gateway) checkSecrets(_ context.Context, status *statusView) []healthNote {
	sources := g.app.allSources()
	var all []liveSecret
	for _, name := range sortedKeys(sources) {
		all = append(all, sources[name].secrets.inventory(name)...)
	}
	var notes []healthNote
	warn := func(s *liveSecret, text, advice string) {
		notes = append(notes, healthNote{Check: "secret", Target: s.source, Level: levelWarn, Text: text, Advice: advice})
	}
	for i := range all {
		s := &all[i]
		if s.label == "(literal)" {
			warn(s, "a secret stands in the configuration itself", "write {env.NAME} or {file./path}: `caddy adapt` and the autosaved configuration show literals")
		}
		if !s.mtime.IsZero() && now().Sub(s.mtime) > oldSecret {
			warn(s, fmt.Sprintf("the file of secret %s was last changed %s ago", s.label, age(now().Sub(s.mtime))), "if the secret is as old, rotate it: several secrets may be live at a time")
		}
		for j := range all[:i] {
			if other := &all[j]; len(s.value) > 0 && bytes.Equal(other.value, s.value) {
				warn(s, fmt.Sprintf("secret %s is the same as %s of source %s", s.label, other.label, other.source), "give each source a secret of its own")
			}
		}
	}
	for _, s := range status.failingSecrets() {
		notes = append(notes, healthNote{
			Check: "secret", Target: s.target, Level: levelFail, Text: s.why,
			Advice: "its last good value is used until Caddy stops, and Caddy does not start without it: put the file right",
		})
	}
	notes = append(notes, unusedSecrets(status)...)
	if len(notes) == 0 && len(all) > 0 {
		notes = append(notes, healthNote{Check: "secret", Level: levelOK, Text: fmt.Sprintf("%d live, all different", len(all))})
	}
	return notes
}

// unusedSecret is how long a secret must have verified nothing before it is called unused: providers may be quiet for hours.
const unusedSecret = 24 * time.Hour

// unusedSecrets finds live secrets that no request used, while others of the same source were used so much later.
func unusedSecrets(status *statusView) []healthNote {
	var notes []healthNote
	for i := range status.Sources {
		s := &status.Sources[i]
		var last time.Time
		for _, secret := range s.Secrets {
			if secret.LastUsed.After(last) {
				last = secret.LastUsed
			}
		}
		for _, secret := range s.Secrets {
			quiet := secret.Since
			if secret.LastUsed.After(quiet) {
				quiet = secret.LastUsed
			}
			if !quiet.IsZero() && last.Sub(quiet) >= unusedSecret {
				notes = append(notes, healthNote{
					Check: "secret", Target: s.Name, Level: levelWarn, Text: fmt.Sprintf("secret %s has verified nothing for %s", secret.Label, age(status.Time.Sub(quiet))),
					Advice: "if it is a former one, the rotation is over: remove it",
				})
			}
		}
	}
	return notes
}

// headerNames finds the headers that a provider's data speaks of in expressions and templates.
var headerNames = regexp.MustCompile(`(?:header:|\{header\.)([A-Za-z0-9._-]+)`)

// smallHeaderLimit is below what providers with certificates or tokens in headers need.
const smallHeaderLimit = 8 << 10

// checkHeaders looks for headers that Caddy drops unless told otherwise, and for limits that are too small.
func (g *gateway) checkHeaders(context.Context, *statusView) []healthNote {
	var notes []healthNote
	loaded, err := caddy.ActiveContext().AppIfConfigured("http")
	if err != nil {
		return []healthNote{{Check: "header", Level: levelWarn, Text: "no HTTP server is configured, so nothing can arrive"}}
	}
	servers := loaded.(*caddyhttp.App).Servers
	for _, name := range sortedKeys(servers) {
		if limit := servers[name].MaxHeaderBytes; limit > 0 && limit < smallHeaderLimit {
			notes = append(notes, healthNote{
				Check: "header", Target: name, Level: levelWarn, Text: fmt.Sprintf("this server takes only %s of headers", bytesText(int64(limit))),
				Advice: "providers that send tokens or certificates need more: raise max_header_size",
			})
		}
	}
	specs := map[string]*verifiers.Spec{}
	for name, h := range g.app.allSources() {
		specs[name] = h.provider.Spec()
	}
	for _, source := range sortedKeys(specs) {
		for _, header := range fragileHeaders(specs[source]) {
			if !slices.ContainsFunc(sortedKeys(servers), func(name string) bool { return expectsHeader(servers[name], header) }) {
				notes = append(notes, healthNote{
					Check: "header", Target: source, Level: levelFail, Text: fmt.Sprintf("Caddy drops the header %s that the provider sends", header),
					Advice: "list it in the server's expected_underscore_headers (or expected_dot_headers)",
				})
			}
		}
	}
	return notes
}

// fragileHeaders are headers of a provider with an underscore or a dot in their name.
func fragileHeaders(spec *verifiers.Spec) []string {
	bare := *spec
	bare.Examples, bare.Vectors, bare.Quirks, bare.Docs = nil, nil, nil, ""
	raw, err := json.Marshal(bare)
	if err != nil {
		return nil // a Spec that was compiled is made of strings and numbers
	}
	var names []string
	if in := spec.Signature.In; in == "" || in == "header" {
		names = append(names, spec.Signature.Names...)
	}
	if spec.Timestamp.In == "header" {
		names = append(names, spec.Timestamp.Names...)
	}
	for _, match := range headerNames.FindAllStringSubmatch(string(raw), -1) {
		names = append(names, strings.TrimRight(match[1], "."))
	}
	names = slices.DeleteFunc(names, func(name string) bool { return !strings.ContainsAny(name, "_.") })
	slices.Sort(names)
	return slices.Compact(names)
}

// expectsHeader reports whether a server was told to let a header pass.
func expectsHeader(server *caddyhttp.Server, header string) bool {
	listed := server.ExpectedDotHeaders
	if strings.Contains(header, "_") {
		listed = server.ExpectedUnderscoreHeaders
	}
	return slices.ContainsFunc(listed, func(entry string) bool {
		if prefix, ok := strings.CutSuffix(entry, "*"); ok {
			return len(header) >= len(prefix) && strings.EqualFold(header[:len(prefix)], prefix)
		}
		return strings.EqualFold(entry, header)
	})
}
