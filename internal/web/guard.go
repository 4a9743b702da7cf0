package web

import (
	"crypto/subtle"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// policy lets the page use what it came with, and speak with whom it came from: no inline script or style, nothing
// from elsewhere, in no other page's frame.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data: blob:; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// guard is what each request has to pass. The page is on this machine, where any site that is open in the same browser
// can send requests to: none of them has the token, nor may by another name for this address (DNS rebinding) become the page.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.NewCrossOriginProtection().Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		switch {
		case !s.isOurs(r.Host):
			fail(w, http.StatusMisdirectedRequest, errors.New("this is the page of "+s.address()+", and goes by no other name: open the URL that was printed"))
		case strings.HasPrefix(r.URL.Path, "/v1/") && !s.hasToken(r):
			fail(w, http.StatusUnauthorized, errors.New("the token is missing, or not this page's: open the URL that was printed when the page was started"))
		default:
			r.Body = http.MaxBytesReader(w, r.Body, maxBody)
			next.ServeHTTP(w, r)
		}
	}))
}

// isOurs knows a name of this page: localhost, or an address. Whoever rebinds a name has that name in the request.
func (s *Server) isOurs(host string) bool {
	name, port, err := net.SplitHostPort(host)
	if err != nil {
		name, port = strings.Trim(host, "[]"), "80"
	}
	_, ours, _ := net.SplitHostPort(s.address())
	if port != ours {
		return false
	}
	a, err := netip.ParseAddr(name)
	if err != nil {
		return strings.EqualFold(name, "localhost") && s.Loopback()
	}
	return !s.Loopback() || a.IsLoopback()
}

func (s *Server) hasToken(r *http.Request) bool {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return ok && subtle.ConstantTimeCompare([]byte(token), []byte(s.token)) == 1
}
