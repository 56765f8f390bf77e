// Package providerdocs writes the reference pages of the providers, docs/providers, out of the catalogue. After a change to the catalogue:
//
//	go generate ./caddymodule/providerdocs
package providerdocs

import (
	"fmt"
	"strings"

	"github.com/sluice-webhooks/sluice/caddymodule/sender"
	"github.com/sluice-webhooks/sluice/verifiers"
	"github.com/sluice-webhooks/sluice/verifiers/catalogue"
)

//go:generate go test . -run ^TestPages$ -update

// indexPage is the name of the page with the table of all providers.
const indexPage = "README.md"

// note tells who edits a page by hand where it comes from.
const note = "<!-- Written by `go generate ./caddymodule/providerdocs` from verifiers/catalogue. -->\n"

// Pages returns all pages by file name: one of each provider and the table of all.
func Pages() (map[string]string, error) {
	specs, err := catalogue.All()
	if err != nil {
		return nil, fmt.Errorf("catalogue: %w", err)
	}
	pages := make(map[string]string, len(specs)+1)
	providers := make([]*provider, len(specs))
	for i, spec := range specs {
		p, err := newProvider(spec)
		if err != nil {
			return nil, fmt.Errorf("provider %s: %w", spec.ID, err)
		}
		providers[i] = p
		pages[spec.ID+".md"] = p.page()
	}
	pages[indexPage] = index(providers)
	return pages, nil
}

// provider is what a page is written from.
type provider struct {
	raw          *verifiers.Spec // as its file says
	spec         *verifiers.Spec // with the defaults filled in
	needs        verifiers.Needs
	past, future verifiers.Duration
	dedupsByBody bool
}

func newProvider(spec *verifiers.Spec) (*provider, error) {
	compiled, err := verifiers.Compile(spec.Merge(&verifiers.Spec{Values: sender.TrialParams(spec)}))
	if err != nil {
		return nil, err
	}
	p := &provider{raw: spec, spec: compiled.Spec(), needs: spec.Needs(), dedupsByBody: compiled.DedupsByBody()}
	p.past, p.future = compiled.Tolerance()
	return p, nil
}

// confirmations say in words what the levels of confidence mean.
var confirmations = map[string]string{
	verifiers.ConfidenceSDK:         "confirmed by the official SDK",
	verifiers.ConfidenceOfficial:    "confirmed by the provider's documentation",
	verifiers.ConfidenceSecondary:   "known from others' code or documents only",
	verifiers.ConfidenceSeed:        "known from an integrator's description",
	verifiers.ConfidenceUnconfirmed: "**unconfirmed**: believed to be so, try it before you rely on it",
}

// index is the page with the table.
func index(providers []*provider) string {
	count := make(map[string]int)
	for _, p := range providers {
		count[p.spec.Confidence]++
	}
	var b strings.Builder
	b.WriteString(note)
	fmt.Fprintf(&b, "# Providers\n\n%d providers, each a [data file](../../verifiers/catalogue). A page says what to configure and what to know. "+
		"A provider that is missing is made with `webhook hmac` and the like, or `provider <name> { ... }`: see the [Caddyfile reference](../caddyfile.md).\n\n", len(providers))
	b.WriteString("| level | meaning | providers |\n|---|---|---|\n")
	for _, level := range []string{
		verifiers.ConfidenceSDK, verifiers.ConfidenceOfficial, verifiers.ConfidenceSecondary, verifiers.ConfidenceSeed, verifiers.ConfidenceUnconfirmed,
	} {
		fmt.Fprintf(&b, "| %s | %s | %d |\n", level, confirmations[level], count[level])
	}
	b.WriteString("\nTolerance is how old (and how far ahead) the signed time may be, dedup for how long an event is remembered, deadline within what the answer leaves.\n\n" +
		"| provider | name | scheme | event id | tolerance | dedup | deadline | level |\n|---|---|---|---|---|---|---|---|\n")
	for _, p := range providers {
		level := p.spec.Confidence
		if level == verifiers.ConfidenceUnconfirmed {
			level = "**" + level + "**"
		}
		fmt.Fprintf(&b, "| [%s](%s.md) | %s | %s | %s | %s | %s | %s | %s |\n", p.spec.ID, p.spec.ID, escape(p.spec.Name), p.scheme(), clip(p.idSource()), p.tolerance(),
			p.dedupWindow(), span(p.spec.Deadline), level)
	}
	return b.String()
}

// scheme names the scheme with its hash where that says something.
func (p *provider) scheme() string {
	s := p.spec
	switch s.Scheme {
	case verifiers.SchemeHMAC, verifiers.SchemeConcatHash:
		algorithm := s.Algorithm
		if algorithm == "" {
			algorithm = "sha256"
		}
		return s.Scheme + " " + algorithm
	case verifiers.SchemeJWT, verifiers.SchemeJWS:
		if s.JWT != nil && len(s.JWT.Algorithms) == 1 {
			return s.Scheme + " " + s.JWT.Algorithms[0]
		}
	}
	return s.Scheme
}

// idSource is where the id of an event is, of a batch where the id of an element is.
func (p *provider) idSource() string {
	id := p.spec.Event.ID
	if b := p.spec.Batch; b != nil && b.Default {
		id = b.Event.ID
	}
	if id == "" || id == "body" {
		return "hash of the body"
	}
	return code(id)
}

func (p *provider) tolerance() string {
	switch {
	case p.past < 0 && p.future < 0:
		return "–"
	case p.past == p.future:
		return span(p.past)
	case p.future < 0:
		return span(p.past) + ", any ahead"
	case p.past < 0:
		return "any, " + span(p.future) + " ahead"
	}
	return span(p.past) + ", " + span(p.future) + " ahead"
}

func (p *provider) dedupWindow() string {
	if p.spec.Dedup.Off {
		return "off"
	}
	return span(p.spec.Dedup.Window)
}

// span writes a duration without the zeros at its end.
func span(d verifiers.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// maxIndexCell bounds what the table shows of an expression; the provider's page has all of it.
const maxIndexCell = 48

func clip(s string) string {
	if len(s) <= maxIndexCell {
		return s
	}
	cut := maxIndexCell
	if blank := strings.LastIndexByte(s[:cut], ' '); blank > 0 {
		cut = blank
	}
	return strings.TrimRight(s[:cut], ` |\`) + " …`"
}

// escape makes text safe for a cell of a table.
func escape(s string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ", "<", "&lt;").Replace(s)
}

// code makes a cell's text code. Backquotes do not occur in what is shown.
func code(s string) string { return "`" + strings.NewReplacer("|", `\|`, "\n", `\n`).Replace(s) + "`" }
