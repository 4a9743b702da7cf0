package config

import (
	"slices"

	"github.com/goccy/go-yaml/ast"

	"github.com/vrouter/vrouter/internal/impair"
)

// The raw types are the shape of the files: which keys there are, and what of them is a list.

type rawHost struct {
	node      scalar
	blocks    []scalar
	uplink    rawUplink
	workloads []rawWorkload
	routes    rawRoutes
	ipip      rawIPIP
	vxlan     rawVXLAN
	gateway   rawGateway
	kernel    rawKernel
	rpf       scalar
	offload   scalar
	workers   scalar
	metrics   rawMetrics
	control   rawControl
	log       rawLog
}

func (h *rawHost) read(r *reader, n ast.Node, at place) {
	known := keys{
		{"node", &h.node},
		{"uplink", &h.uplink},
		{"workloads", each(&h.workloads)},
		{"routes", &h.routes},
		{"ipip", &h.ipip}, {"vxlan", &h.vxlan},
		{"gateway", &h.gateway},
		{"kernel", &h.kernel},
		{"rpf", &h.rpf},
		{"offload", &h.offload}, {"workers", &h.workers},
		{"metrics", &h.metrics},
		{"control", &h.control},
		{"log", &h.log},
	}
	if at.key != "" { // one of several
		known = slices.Insert(known, 1, keys{{"blocks", each(&h.blocks)}}...)
	}
	r.mapping(n, at, known)
}

type rawUplink struct {
	iface     scalar
	addresses rawAddresses
}

func (u *rawUplink) read(r *reader, n ast.Node, at place) {
	r.mapping(n, at, keys{{"interface", &u.iface}, {"address", &u.addresses.one}, {"addresses", each(&u.addresses.list)}})
}

// rawAddresses is one address, or a list of them under another key.
type rawAddresses struct {
	one  scalar
	list []scalar
}

// all are those that there are; both keys at once are an error.
func (a *rawAddresses) all(r *report) []scalar {
	if a.one.given && a.list != nil {
		r.fail(a.one.place, "there is `addresses` too: write all of them there, and leave this out")
	}
	if a.one.given {
		return []scalar{a.one}
	}
	return a.list
}

// given is where the first one stands.
func (a *rawAddresses) given() (at place, ok bool) {
	if a.one.given {
		return a.one.place, true
	}
	if len(a.list) > 0 {
		return a.list[0].place, true
	}
	return place{}, false
}

type rawWorkload struct {
	name, iface, namespace, mtu scalar
	addresses                   rawAddresses
}

func (w *rawWorkload) read(r *reader, n ast.Node, at place) {
	r.mapping(n, at, keys{
		{"name", &w.name},
		{"interface", &w.iface},
		{"address", &w.addresses.one},
		{"addresses", each(&w.addresses.list)},
		{"namespace", &w.namespace},
		{"mtu", &w.mtu},
	})
}

type rawRoute struct{ to, via, kind, encap, metric, proto scalar }

func (t *rawRoute) read(r *reader, n ast.Node, at place) { r.mapping(n, at, t.keys()) }

func (t *rawRoute) keys() keys {
	return keys{
		{"to", &t.to},
		{"via", &t.via},
		{"type", &t.kind},
		{"encap", &t.encap},
		{"metric", &t.metric},
		{"proto", &t.proto},
	}
}

// rawRoutes is a list of routes, or the block of a large file.
type rawRoutes struct {
	list  []rawRoute
	block *block
}

func (t *rawRoutes) read(r *reader, n ast.Node, at place) {
	if t.block != nil {
		t.block.read(r.report)
		return
	}
	each(&t.list).read(r, n, at)
}

type rawIPIP struct {
	mode, minPathMTU scalar
	peers            []scalar
	source           rawSource
}

func (t *rawIPIP) read(r *reader, n ast.Node, at place) {
	r.mapping(n, at, keys{{"mode", &t.mode}, {"peers", each(&t.peers)}, {"min_path_mtu", &t.minPathMTU}, {"source", &t.source}})
}

type rawVXLAN struct {
	mode, vni, port scalar
	peers           []rawVTEP
}

func (t *rawVXLAN) read(r *reader, n ast.Node, at place) {
	r.mapping(n, at, keys{{"mode", &t.mode}, {"vni", &t.vni}, {"port", &t.port}, {"peers", each(&t.peers)}})
}

// rawVTEP is an address, or one with a MAC.
type rawVTEP struct{ address, mac scalar }

func (v *rawVTEP) read(r *reader, n ast.Node, at place) {
	n, at = r.resolve(n, at)
	if _, whole := n.(ast.MapNode); whole {
		r.mapping(n, at, keys{{"address", &v.address}, {"mac", &v.mac}})
		return
	}
	v.address.read(r, n, at)
}

// rawSource is an address, or a list of them.
type rawSource []scalar

func (s *rawSource) read(r *reader, n ast.Node, at place) {
	n, at = r.resolve(n, at)
	if _, list := n.(ast.ArrayNode); list {
		each((*[]scalar)(s)).read(r, n, at)
		return
	}
	var one scalar
	if one.read(r, n, at); one.given {
		*s = rawSource{one}
	}
}

type rawGateway struct{ address, address6, mac scalar }

func (g *rawGateway) read(r *reader, n ast.Node, at place) {
	r.mapping(n, at, keys{{"address", &g.address}, {"address6", &g.address6}, {"mac", &g.mac}})
}

type rawKernel struct {
	imports       []scalar
	export, guard scalar
}

func (k *rawKernel) read(r *reader, n ast.Node, at place) {
	r.mapping(n, at, keys{{"import", each(&k.imports)}, {"export", &k.export}, {"guard", &k.guard}})
}

type rawMetrics struct{ listen scalar }

func (m *rawMetrics) read(r *reader, n ast.Node, at place) {
	r.mapping(n, at, keys{{"listen", &m.listen}})
}

type rawControl struct {
	socket, group, listen scalar
	tls                   rawTLS
}

func (c *rawControl) read(r *reader, n ast.Node, at place) {
	r.mapping(n, at, keys{{"socket", &c.socket}, {"group", &c.group}, {"listen", &c.listen}, {"tls", &c.tls}})
}

type rawTLS struct{ cert, key, ca scalar }

func (t *rawTLS) read(r *reader, n ast.Node, at place) {
	r.mapping(n, at, keys{{"cert", &t.cert}, {"key", &t.key}, {"ca", &t.ca}})
}

type rawLog struct{ level, format scalar }

func (l *rawLog) read(r *reader, n ast.Node, at place) {
	r.mapping(n, at, keys{{"level", &l.level}, {"format", &l.format}})
}

type rawLab struct {
	hosts []rawHost
	links rawLinks
}

func (l *rawLab) read(r *reader, n ast.Node, at place) {
	r.mapping(n, at, keys{{"hosts", each(&l.hosts)}, {"links", &l.links}})
}

// rawLinks is a list of links, or the only one.
type rawLinks []rawLink

func (l *rawLinks) read(r *reader, n ast.Node, at place) {
	n, at = r.resolve(n, at)
	if _, one := n.(ast.MapNode); one {
		*l = make(rawLinks, 1)
		(*l)[0].read(r, n, at)
		return
	}
	each((*[]rawLink)(l)).read(r, n, at)
}

type rawLink struct {
	subnet, gateway scalar
	impair          []scalar // of impair.Keys
}

func (l *rawLink) read(r *reader, n ast.Node, at place) {
	l.impair = make([]scalar, len(impair.Keys))
	known := keys{{"subnet", &l.subnet}, {"gateway", &l.gateway}}
	for i, key := range impair.Keys {
		known = append(known, keys{{key, &l.impair[i]}}...)
	}
	r.mapping(n, at, known)
}
