package web

import (
	"testing"
	"time"
)

func TestPace(t *testing.T) {
	now := time.Unix(1000, 0)
	p := pace{oneIn: 1}
	p.begin(now)
	if p.count("a", fewEnough-1, now) || p.oneIn != 1 {
		t.Error("a few packets change the pace")
	}
	if !p.count("a", 100_000, now.Add(time.Second)) || p.oneIn != 4096 {
		t.Errorf("of 100,000 a second one in %d", p.oneIn)
	}
	p.begin(now)
	p.count("b", 20, now)
	if p.slower(now.Add(time.Second)) {
		t.Error("about as many as are wanted change the pace")
	}
	p.count("b", 5, now.Add(time.Second))
	if !p.slower(now.Add(2*time.Second)) || p.oneIn != 1024 { // 5 of 4,096 each are 20,480 a second
		t.Errorf("of some 20,000 a second one in %d", p.oneIn)
	}
	if p.begin(now); !p.slower(now.Add(time.Second)) || p.oneIn != 1 {
		t.Errorf("of none one in %d", p.oneIn)
	}
}
