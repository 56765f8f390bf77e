package providerdocs

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/sluice-webhooks/sluice/verifiers"
)

// page is the provider's page.
func (p *provider) page() string {
	var b strings.Builder
	b.WriteString(note)
	fmt.Fprintf(&b, "# %s\n\n`webhook %s`", escape(p.spec.Name), p.spec.ID)
	if p.spec.Docs != "" {
		fmt.Fprintf(&b, " · [documentation](%s)", p.spec.Docs)
	}
	fmt.Fprintf(&b, " · %s", confirmations[p.spec.Confidence])
	if p.spec.ConfirmedBy != "" && p.spec.ConfirmedBy != "believed" {
		fmt.Fprintf(&b, " (%s)", escape(p.spec.ConfirmedBy))
	}
	fmt.Fprintf(&b, "\n\n```caddyfile\n%s```\n\n", p.Caddyfile())
	p.writeFacts(&b)
	if len(p.spec.Quirks) > 0 {
		b.WriteString("\n## To know\n\n")
		for _, q := range p.spec.Quirks {
			fmt.Fprintf(&b, "- %s\n", escape(q))
		}
	}
	p.writeHandshakes(&b)
	b.WriteString("\n## Try it\n\n")
	b.WriteString(p.trial())
	return b.String()
}

// writeFacts writes the table of how requests are verified, named and answered.
func (p *provider) writeFacts(b *strings.Builder) {
	s := p.spec
	b.WriteString("| | |\n|---|---|\n")
	row := func(name, value string) {
		if value != "" {
			fmt.Fprintf(b, "| %s | %s |\n", name, value)
		}
	}
	row("Secret", p.secretFact())
	row("Signature", p.signatureFact())
	row("Signed", p.signedFact())
	row("Tolerance", p.toleranceFact())
	row("Event id", p.idSource())
	row("Type", either(s.Event.Type, s.Event.DefaultType))
	row("Time", either(s.Event.Time, ""))
	row("Subject", either(s.Event.Subject, ""))
	row("Batch", p.batchFact())
	row("Duplicates", p.dedupFact())
	row("Answer", p.answerFact())
	row("Retries", escape(s.Retries))
	for _, param := range s.Params {
		doc := escape(param.Doc)
		if param.Default != "" {
			doc += ", default " + code(param.Default)
		}
		if param.Required && param.Default == "" {
			doc += " (required)"
		}
		row("`param "+param.Name+"`", doc)
	}
}

func either(expr, fallback string) string {
	switch {
	case expr == "" && fallback == "":
		return ""
	case expr == "":
		return "always " + code(fallback)
	case fallback == "":
		return code(expr)
	}
	return code(expr) + ", else " + code(fallback)
}

func (p *provider) secretFact() string {
	if p.needs.Unsigned {
		return "none: nothing is signed. Give the address a `token`, or say `unsigned_ok` where requests are fenced in some other way"
	}
	if p.needs.SecretOptional {
		return "not needed: the keys are published, and fetched. A configured " + escape(p.needs.Secret) + " takes their place"
	}
	text := escape(p.needs.Secret)
	if h := p.spec.Key.Hint; h != "" {
		text += ": " + escape(h)
	}
	return text
}

func (p *provider) signatureFact() string {
	s := &p.spec.Signature
	if p.spec.Scheme == verifiers.SchemeNone {
		return ""
	}
	place := s.In
	if place == "" {
		place = "header"
	}
	names := make([]string, len(s.Names))
	for i, n := range s.Names {
		names[i] = code(n)
	}
	switch place {
	case "body":
		return "the body itself, " + p.scheme()
	case "path":
		return "last segment of the path, " + p.scheme()
	case "expr":
		place = "at"
	}
	text := place + " " + strings.Join(names, " or ")
	if s.Format != "" && s.Format != "{signature}" {
		text += ": " + code(s.Format)
	}
	text += ", " + p.scheme()
	if s.Encoding != "" {
		text += ", " + s.Encoding
	}
	return text
}

func (p *provider) signedFact() string {
	switch p.spec.Scheme {
	case verifiers.SchemeToken, verifiers.SchemeBasic:
		return "nothing: the secret itself is sent"
	case verifiers.SchemeNone:
		return ""
	case verifiers.SchemeJWT:
		if j := p.spec.JWT; j != nil && j.BodyHash != "" {
			return "the token's claims, and the body by " + code(j.BodyHash)
		}
		if p.spec.Signature.In == "body" {
			return "all of it"
		}
		return "the token's claims; they do not bind the body"
	}
	if p.spec.Custom != "" && len(p.raw.Signed) == 0 {
		return "as the provider's documentation says"
	}
	templates := make([]string, len(p.spec.Signed))
	for i, t := range p.spec.Signed {
		templates[i] = code(t)
	}
	return strings.Join(templates, " or ")
}

func (p *provider) toleranceFact() string {
	if p.past < 0 && p.future < 0 {
		if p.spec.Scheme == verifiers.SchemeNone {
			return ""
		}
		return "none"
	}
	return p.tolerance()
}

func (p *provider) batchFact() string {
	b := p.spec.Batch
	if b == nil {
		return ""
	}
	text := "elements of " + code(b.Elements)
	if b.Default {
		return text + ": one event of each, unless `split off`"
	}
	return text + ": one event of the whole, unless `split on`"
}

func (p *provider) dedupFact() string {
	d := p.spec.Dedup
	if d.Off {
		return "none is taken for one: deliveries carry nothing that tells a retry from a new event"
	}
	key := d.Key
	if b := p.spec.Batch; b != nil && b.Default {
		key = b.Dedup
	}
	switch {
	case key != "":
	case p.dedupsByBody:
		return "by id and, where that is not signed, a hash of the body, for " + span(d.Window)
	default:
		return "by id, for " + span(d.Window)
	}
	text := "by " + code(key) + ", for " + span(d.Window)
	if d.Whole {
		text += "; what lacks a part of it is never taken for one"
	}
	return text
}

func (p *provider) answerFact() string {
	s := p.spec
	text := fmt.Sprintf("%d", s.Ack.Status)
	if s.Ack.Body != "" {
		text += " with " + code(s.Ack.Body)
	}
	text += " within " + span(s.Deadline)
	if s.RefuseStatus != http.StatusUnauthorized {
		text += fmt.Sprintf("; refused with %d", s.RefuseStatus)
	}
	if s.Ack.Empty {
		text += "; a body would be a failure"
	}
	if s.Ack.NoCookies {
		text += "; a cookie would be a failure"
	}
	if !slices.Equal(s.Methods, []string{http.MethodPost}) {
		text += "; methods " + strings.Join(s.Methods, ", ")
	}
	return text
}

// writeHandshakes writes how the provider's questions are answered.
func (p *provider) writeHandshakes(b *strings.Builder) {
	if len(p.spec.Handshakes) == 0 {
		return
	}
	b.WriteString("\n## Handshakes\n\nAnswered by the gateway; they never become events.\n\n| question | told by | answer |\n|---|---|---|\n")
	for i := range p.spec.Handshakes {
		h := &p.spec.Handshakes[i]
		methods := h.Methods
		if len(methods) == 0 {
			methods = []string{http.MethodPost}
		}
		told := strings.Join(methods, ", ")
		for _, c := range h.Match {
			told += " " + checkText(c)
		}
		if h.Signed {
			told += ", verified first"
		}
		for _, c := range h.Require {
			told += ", only if " + checkText(c)
		}
		fmt.Fprintf(b, "| %s | %s | %s |\n", escape(h.Name), told, handshakeAnswer(h))
	}
}

func checkText(c verifiers.Check) string {
	expr := code(c.Expr)
	switch {
	case c.Present:
		return expr
	case c.Absent:
		return "no " + expr
	case c.Equals != "":
		return expr + " = " + code(strings.TrimPrefix(c.Equals, "literal:"))
	case len(c.OneOf) > 0:
		return expr + " = " + code(strings.Join(c.OneOf, " or "))
	case c.Prefix != "":
		return expr + " begins with " + code(c.Prefix)
	}
	return expr + " like " + code(c.Pattern)
}

func handshakeAnswer(h *verifiers.Handshake) string {
	status := h.Status
	if status == 0 {
		status = http.StatusOK
	}
	text := fmt.Sprint(status)
	for _, name := range slices.Sorted(maps.Keys(h.Headers)) {
		text += " " + code(name+": "+h.Headers[name])
	}
	if h.Body != "" {
		text += " " + code(h.Body)
	}
	if h.StoreSecret != "" {
		text += "; " + code(h.StoreSecret) + " becomes a live secret"
	}
	if h.Surface != "" {
		text += "; " + code(h.Surface) + " is shown by `caddy webhooks sources`"
	}
	if h.Visit != "" {
		hosts := make([]string, len(h.VisitHosts))
		for i, host := range h.VisitHosts {
			hosts[i] = code(host)
		}
		text += "; " + code(h.Visit) + " is fetched first, from " + strings.Join(hosts, " or ") + " only"
	}
	return text
}
