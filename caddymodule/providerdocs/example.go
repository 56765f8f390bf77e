package providerdocs

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-webhooks/sluice/verifiers"
)

// Application is where the pages' events go.
const application = "http://127.0.0.1:9000"

// Caddyfile is a configuration that works for the provider once the environment has its secrets.
func (p *provider) Caddyfile() string {
	id := p.spec.ID
	var b strings.Builder
	matcher := "/" + id
	if p.token() {
		matcher += "/*" // the token is the last segment
	}
	fmt.Fprintf(&b, "hooks.example.com {\n\thandle %s {\n\t\twebhook %s {\n", matcher, id)
	switch {
	case p.token():
		fmt.Fprintf(&b, "\t\t\ttoken path {env.%s}\n", p.tokenVariable())
	case p.needs.SecretOptional:
	case p.needs.SecretByHandshake:
		fmt.Fprintf(&b, "\t\t\tsecret {env.%s} # without this line until `caddy webhooks sources` shows it\n", p.Variable())
	default:
		fmt.Fprintf(&b, "\t\t\tsecret {env.%s}\n", p.Variable())
	}
	for _, param := range p.needs.Params {
		fmt.Fprintf(&b, "\t\t\tparam %s {env.%s}\n", param.Name, p.paramVariable(param.Name))
	}
	if p.needs.PublicURL {
		b.WriteString("\t\t\tpublic_url https://hooks.example.com # the address is signed\n")
	}
	fmt.Fprintf(&b, "\t\t\tforward %s\n\t\t}\n\t}\n}\n", application)
	return b.String()
}

// token tells whether the address needs a token: nothing is signed, or anybody who knows the address could bring a secret.
func (p *provider) token() bool { return p.needs.Unsigned || p.storesSecret() }

func (p *provider) storesSecret() bool {
	return slices.ContainsFunc(p.spec.Handshakes, func(h verifiers.Handshake) bool { return h.StoreSecret != "" })
}

func (p *provider) tokenVariable() string { return strings.ToUpper(p.spec.ID) + "_TOKEN" }

// Variable is the environment variable that the page keeps the secret in.
func (p *provider) Variable() string {
	name := "SECRET"
	switch p.spec.Scheme {
	case verifiers.SchemeEd25519, verifiers.SchemeECDSA, verifiers.SchemeRSA, verifiers.SchemeRSACert:
		name = "PUBLIC_KEY"
	case verifiers.SchemeToken, verifiers.SchemeNone:
		name = "TOKEN"
	case verifiers.SchemeBasic:
		name = "CREDENTIALS"
	}
	return strings.ToUpper(p.spec.ID) + "_" + name
}

func (p *provider) paramVariable(param string) string {
	return strings.ToUpper(p.spec.ID + "_" + param)
}

// asymmetric tells whether the provider signs with a key that its users never have.
func (p *provider) asymmetric() bool {
	switch p.spec.Scheme {
	case verifiers.SchemeEd25519, verifiers.SchemeECDSA, verifiers.SchemeRSA, verifiers.SchemeRSACert:
		return true
	case verifiers.SchemeJWT, verifiers.SchemeJWS:
		return p.spec.JWT != nil && len(p.spec.JWT.Algorithms) > 0 && !strings.HasPrefix(p.spec.JWT.Algorithms[0], "HS")
	}
	return false
}

// onlyProviderSigns tells whether not even a key pair of one's own helps.
func (p *provider) onlyProviderSigns() bool {
	return p.spec.JWT != nil && p.spec.JWT.X5C != nil
}

// trial says how to send an event as the provider would.
func (p *provider) trial() string {
	if p.onlyProviderSigns() {
		return "Only the provider can sign its requests; a captured one is explained by `caddy webhooks verify " + p.spec.ID + " --request FILE`.\n"
	}
	to := "https://hooks.example.com/" + p.spec.ID
	line := "caddy webhooks send " + p.spec.ID
	text := ""
	switch {
	case p.needs.Unsigned:
		to += "/$" + p.tokenVariable()
		return "```sh\n" + line + " --to \"" + to + "\"" + p.paramFlags() + "\n```\n"
	case p.asymmetric():
		text = "Only the provider has the private key: make a pair of your own, and configure it as `secret` on a source for trials.\n\n"
		line += " --secret-file private.pem"
	case p.storesSecret():
		text = "With the secret that the handshake brought:\n\n"
		return text + "```sh\n" + line + " --secret-env " + p.Variable() + " --to \"" + to + "/$" + p.tokenVariable() + "\"\n```\n"
	default:
		line += " --secret-env " + p.Variable()
	}
	return text + "```sh\n" + line + " --to " + to + p.paramFlags() + "\n```\n"
}

func (p *provider) paramFlags() string {
	var b strings.Builder
	for _, param := range p.needs.Params {
		fmt.Fprintf(&b, " --param %s=\"$%s\"", param.Name, p.paramVariable(param.Name))
	}
	return b.String()
}
