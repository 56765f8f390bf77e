package dashboard

import (
	"net/http"
	"net/url"
	"strings"
)

// providers lists the catalogue.
func (x *exchange) providers() error {
	var list struct {
		Providers []Provider `json:"providers"`
	}
	if err := x.get("providers", nil, &list); err != nil {
		return err
	}
	data := &providersData{Query: x.r.URL.Query().Get("q"), All: len(list.Providers)}
	for _, p := range list.Providers {
		if p.matches(data.Query) {
			data.Providers = append(data.Providers, p)
		}
	}
	return x.render("providers", http.StatusOK, &Page{Title: "Providers", Nav: "providers", Data: data})
}

type providersData struct {
	Query     string
	All       int
	Providers []Provider
}

// matches reports whether a search finds the provider.
func (p *Provider) matches(query string) bool {
	query = strings.ToLower(strings.TrimSpace(query))
	return query == "" || strings.Contains(strings.ToLower(p.ID+" "+p.Name+" "+p.Scheme), query)
}

// provider shows how to set a provider up.
func (x *exchange) provider() error {
	data := new(providerData)
	if err := x.get("providers/"+url.PathEscape(x.r.PathValue("id")), nil, &data.ProviderDetail); err != nil {
		return err
	}
	return x.render("provider", http.StatusOK, &Page{Title: data.Title(), Nav: "providers", Data: data})
}

type providerData struct{ ProviderDetail }

// Title is what people call the provider.
func (d *providerData) Title() string {
	if d.Name != "" {
		return d.Name
	}
	return d.ID
}

// Variable is an environment variable for the secret.
func (d *providerData) Variable() string { return strings.ToUpper(d.ID) + "_SECRET" }

// Caddyfile is a source of this provider, with everything that it must have.
func (d *providerData) Caddyfile() string {
	var b strings.Builder
	b.WriteString("hooks.example.com {\n\thandle /" + d.ID + " {\n\t\twebhook " + d.ID + " {\n")
	if d.Secret != "" {
		b.WriteString("\t\t\tsecret  {env." + d.Variable() + "}\n")
	}
	for _, p := range d.Spec.Params {
		if p.Required {
			b.WriteString("\t\t\tparam   " + p.Name + " {env." + strings.ToUpper(d.ID+"_"+p.Name) + "}\n")
		}
	}
	if d.Unsigned {
		b.WriteString("\t\t\ttoken   path {env." + strings.ToUpper(d.ID) + "_TOKEN}\n")
	}
	b.WriteString("\t\t\tforward https://app.internal/hooks\n\t\t}\n\t}\n}")
	return b.String()
}

// Send is the command that sends a first event.
func (d *providerData) Send() string {
	to := "https://hooks.example.com/" + d.ID
	if d.Secret == "" {
		return "caddy webhooks send " + d.ID + " --to " + to
	}
	return "caddy webhooks send " + d.ID + " --secret-env " + d.Variable() + " --to " + to
}

// Types are the types of the examples.
func (d *providerData) Types() []string {
	var types []string
	for _, e := range d.Spec.Examples {
		if e.Type != "" {
			types = append(types, e.Type)
		}
	}
	return types
}
