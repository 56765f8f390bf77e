package caddymodule

import "maps"

// source returns a configured source; nil if there is none of that name.
func (app *App) source(name string) *Handler {
	app.mu.Lock()
	defer app.mu.Unlock()
	return app.sources[name]
}

// allSources returns the configured sources by name.
func (app *App) allSources() map[string]*Handler {
	app.mu.Lock()
	defer app.mu.Unlock()
	return maps.Clone(app.sources)
}
