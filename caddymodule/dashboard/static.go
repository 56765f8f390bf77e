package dashboard

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed static
var staticFiles embed.FS

// staticVersion is a hash of all static files. It is part of their addresses, so that browsers keep them for good.
var staticVersion = func() string {
	sum := sha256.New()
	err := fs.WalkDir(staticFiles, "static", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := staticFiles.ReadFile(name)
		sum.Write([]byte(name))
		sum.Write(content)
		return err
	})
	if err != nil { // files of the binary itself
		panic(err)
	}
	return hex.EncodeToString(sum.Sum(nil))[:12]
}()

// staticTypes are the types of the files there are; the machine's own table is not asked.
var staticTypes = map[string]string{
	".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml", ".md": "text/plain; charset=utf-8",
}

func serveStatic(w http.ResponseWriter, r *http.Request) {
	content, err := staticFiles.ReadFile(path.Join("static", path.Clean("/"+r.PathValue("file"))))
	if err != nil {
		http.NotFound(w, r)
		return
	}
	contentType, ok := staticTypes[path.Ext(r.URL.Path)]
	if !ok {
		contentType = mime.FormatMediaType("text/plain", map[string]string{"charset": "utf-8"}) // licences
	}
	h := w.Header()
	h.Set("Content-Type", contentType)
	if r.PathValue("version") == staticVersion {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(string(content)))
}
