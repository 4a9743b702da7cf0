package control

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// A fault of ours in a request is told to who asked and in the log, and nobody else has anything of it.
func TestFaultInARequest(t *testing.T) {
	var log bytes.Buffer
	h := caught(slog.New(slog.NewTextHandler(&log, nil)), http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		var none []int
		_ = none[0]
	}))
	s := httptest.NewServer(h)
	defer s.Close()
	resp, err := http.Post(s.URL+"/v1/plan", "application/json", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var f Failure
	if err := json.NewDecoder(resp.Body).Decode(&f); err != nil || resp.StatusCode != http.StatusInternalServerError || !strings.Contains(f.Message, "index out of range") {
		t.Errorf("%s: %+v (%v)", resp.Status, f, err)
	}
	if !strings.Contains(log.String(), "level=ERROR") || !strings.Contains(log.String(), "POST /v1/plan") || !strings.Contains(log.String(), "caught_test.go") {
		t.Errorf("the log says: %s", log.String())
	}
}
