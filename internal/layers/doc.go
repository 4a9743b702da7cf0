// Package layers holds nothing but the test of who may import whom.
package layers
