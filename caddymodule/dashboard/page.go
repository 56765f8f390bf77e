package dashboard

import (
	"embed"
	"fmt"
	"html/template"
	"io"
	"net/url"
)

//go:embed templates
var templateFiles embed.FS

// pageNames are the templates of pages; each is parsed together with the layout and the shared parts.
var pageNames = []string{
	"overview", "requests", "events", "event", "dead", "replays", "replay", "plan", "destinations", "destination", "source", "revealed",
	"quarantine", "refused", "providers", "provider", "send", "audit", "problem",
}

// pages are the templates, by name.
type pages struct {
	byName map[string]*template.Template
}

func newPages() (*pages, error) {
	base, err := template.New("layout.html").Funcs(templateFuncs).ParseFS(templateFiles, "templates/layout.html", "templates/parts/*.html")
	if err != nil {
		return nil, err
	}
	p := &pages{byName: map[string]*template.Template{}}
	for _, name := range pageNames {
		clone, err := base.Clone()
		if err != nil {
			return nil, err
		}
		if p.byName[name], err = clone.ParseFS(templateFiles, "templates/"+name+".html"); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (p *pages) execute(w io.Writer, name string, page *Page) error {
	t, ok := p.byName[name]
	if !ok {
		return fmt.Errorf("no template %q", name)
	}
	return t.Execute(w, page)
}

// Page is what the layout and a view's template are executed with.
type Page struct {
	Title string
	Nav   string // the entry of the menu that it belongs to
	Live  string // filters of the live updates that renew it, as a query; "all" for no filter, empty for a page that stays as it is
	Data  any    // of the view

	Poll   bool // renew it now and then even if nothing is told to happen
	Charts bool // it has charts

	Base      string
	Self      string // this page's own address
	CSRF      string
	User      string
	Known     bool
	Protected bool
	Flash     flash
}

// fill sets what all pages have.
func (p *Page) fill(x *exchange) {
	p.Base, p.CSRF, p.User, p.Known, p.Protected = x.visit.Base, x.csrf, x.visit.User, x.visit.Known, x.visit.Protected
	p.Self = p.Base + x.r.URL.Path
	if x.r.URL.RawQuery != "" {
		p.Self += "?" + x.r.URL.RawQuery
	}
	p.Flash = x.takeFlash()
}

// URL is the address of a page: a path without a slash at its beginning, and pairs of parameters.
func (p *Page) URL(path string, pairs ...string) string { return p.Base + "/" + link(path, pairs...) }

// Event is the address of an event's page.
func (p *Page) Event(id string) string { return p.Base + "/events/" + url.PathEscape(id) }

// Destination is the address of a destination's page. Its name may be an address itself.
func (p *Page) Destination(name string) string { return p.URL("destination", "name", name) }

// Source is the address of a source's page.
func (p *Page) Source(name string) string { return p.URL("source", "name", name) }

// Static is the address of a static file.
func (p *Page) Static(file string) string { return p.Base + "/static/" + staticVersion + "/" + file }

// LiveURL is the address of the live updates.
func (p *Page) LiveURL() string {
	if p.Live == "all" {
		return p.Base + "/live"
	}
	return p.Base + "/live?" + p.Live
}

// Menu is the navigation.
func (p *Page) Menu() []menuGroup { return menu }

type menuGroup struct {
	Title   string
	Entries []menuEntry
}

type menuEntry struct{ Name, Path, Title, Icon string }

var menu = []menuGroup{
	{"Watch", []menuEntry{
		{"overview", "", "Overview", "overview"},
		{"requests", "requests", "Requests", "requests"},
		{"events", "events", "Events", "events"},
	}},
	{"Act", []menuEntry{
		{"dead", "dead", "Dead letters", "dead"},
		{"quarantine", "quarantine", "Quarantine", "quarantine"},
		{"destinations", "destinations", "Destinations", "destinations"},
		{"replays", "replays", "Replays", "replays"},
	}},
	{"Set up", []menuEntry{
		{"send", "send", "Send a test", "send"},
		{"providers", "providers", "Providers", "providers"},
		{"audit", "audit", "Audit log", "audit"},
	}},
}
