#include <facegeom/delaunay.h>
#include <facegeom/interrupt.h>
#include <facegeom/predicates.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

namespace facegeom {

namespace {

using Id = std::int32_t;
constexpr Id kNone = -1;
//! 2^28: the six half-edges per point have 32-bit numbers.
constexpr Index kMaxPoints = 268435456;
//! Minimum magnitude of a scaled coordinate that is not 0, above 2^-167. Coordinate differences are then
//! multiples of 2^-219, and the exact predicates, which multiply up to four of them, do not underflow.
constexpr double kLeastMagnitude = 1e-50;

//! Points scaled to at most 1 by a power of two, which is exact; or, if they all lie on a lattice of at most
//! 2^12 steps per side (a pixel grid), in integer steps: floating-point arithmetic is then exact without a
//! filter.
struct Scaled {
  std::vector<double> xy;
  bool lattice = false;
  double least = 1;  //!< smallest magnitude that is not 0, or 1
};

//! Greatest common divisor of all values; 0 if it is below `finest` or has more than 40 bits. fmod is exact.
double common_step(const std::vector<double>& values, double finest) {
  double step = 0;
  for (const double value : values) {
    if (value == 0) continue;
    if (step > 0) {
      const double times = std::nearbyint(value / step);
      if (times * step == value && times <= 4096) continue;  // 40 bits times 13 bits: exact
    }
    double a = value, b = step;
    while (b > 0) {
      a = std::exchange(b, std::fmod(a, b));
      if (b > 0 && b < finest) return 0;
    }
    step = a;
    const double upper = 8193.0 * step;
    if (step < finest || upper - (upper - step) != step) return 0;
  }
  return step;
}

Scaled scale_points(Points2In points) {
  const Index n = points.rows();
  int exponent;
  std::frexp(points.cwiseAbs().maxCoeff(), &exponent);
  Scaled out;
  out.xy.resize(size_t(2 * n));
  const auto in = [&points](size_t i) { return points(Index(i / 2), Index(i % 2)); };
  // Two factors, since the inverse of a very small power of two overflows.
  const double half = std::ldexp(1.0, -exponent / 2), other = std::ldexp(1.0, -exponent - (-exponent / 2));
  for (size_t i = 0; i < out.xy.size(); ++i) {
    out.xy[i] = half * in(i) * other;
    const double size = std::abs(out.xy[i]);
    if (size > 0) {
      out.least = std::min(out.least, size);
    } else if (in(i) != 0) {
      out.least = 0;
    }
  }

  const double low_x = points.col(0).minCoeff(), low_y = points.col(1).minCoeff();
  const double extent = std::max(points.col(0).maxCoeff() - low_x, points.col(1).maxCoeff() - low_y);
  std::vector<double> shifted(out.xy.size());
  for (size_t i = 0; i < shifted.size(); ++i) {
    const double low = i % 2 ? low_y : low_x;
    shifted[i] = in(i) - low;
    // The shift must be exact.
    if (shifted[i] + low != in(i) || in(i) - shifted[i] != low) return out;
    if (i == 63 && common_step({shifted.begin(), shifted.begin() + 64}, extent / 4096) == 0) return out;
  }
  const double step = common_step(shifted, extent / 4096);
  if (step == 0) return out;
  for (size_t i = 0; i < shifted.size(); ++i) {
    shifted[i] = std::nearbyint(shifted[i] / step);
  }
  out.xy = std::move(shifted);
  out.lattice = true;
  return out;
}

//! A triangulation that grows outwards from the mean of the points. A point is identified by its rank in the
//! order of the distance from the mean.
class Sweep {
 public:
  explicit Sweep(Points2In points);
  Faces triangles() const;

 private:
  // Half-edge e runs from tip_[e] to tip_[next(e)] within triangle e / 3; twin_[e] is its other side.
  static Id next(Id e) { return e % 3 == 2 ? e - 2 : e + 1; }
  static Id previous(Id e) { return e % 3 == 0 ? e + 2 : e - 1; }
  const double* at(Id v) const { return &xy_[2 * size_t(v)]; }
  bool in_circle(Id a, Id b, Id c, Id d) const;
  double side(Id a, Id b, Id c) const { return orient2d(at(a), at(b), at(c)); }
  bool sees(Id point, Id hull_vertex) const { return side(hull_vertex, hull_next_[hull_vertex], point) < 0; }

  void order(const Scaled& scaled);
  //! The first triangles: the first points lie on a line, and are all connected to the first point off the
  //! line.
  //! \return the next point to insert
  Id start();
  Id visible_edge(Id point) const;
  //! Connect a point outside the hull to every visible hull edge; one of them starts at v.
  void join_outside(Id point, Id v);
  //! Insert a point inside the hull or on it.
  void insert_inside(Id point);
  Id add_triangle(Id a, Id b, Id c);
  void link(Id e, Id twin);
  //! Flip edges opposite to the new point, the third corner of the triangle of e, until all are locally
  //! Delaunay.
  //! \cite lawson1977software
  void legalise(Id e);
  size_t bucket(Id point) const;
  void remember(Id point) { bucket_[bucket(point)] = point; }

  std::vector<double> xy_;
  std::vector<Id> original_;
  double middle_[2] = {0, 0};
  bool lattice_;
  std::vector<Id> tip_, twin_;
  // The hull is counter-clockwise; hull_next_ of a vertex that has left it is the vertex itself.
  // hull_edge_[v] is the half-edge that starts at v.
  std::vector<Id> hull_next_, hull_previous_, hull_edge_;
  std::vector<Id> bucket_;  // a hull vertex for each range of directions from the mean
  std::vector<Id> stack_;
  WorkCounter work_;

  static constexpr Index kUnitsPerPoint = 64;
  //! Steps of a walk along the hull, or flips for one point, after which to poll; usual are fewer than ten.
  static constexpr Index kStepsPerPoll = 1 << 10;
  //! Number of points of a bucket from which a sort polls.
  static constexpr Id kLongBucket = 1 << 14;
};

Sweep::Sweep(Points2In points) {
  if (points.rows() > kMaxPoints) throw std::invalid_argument("delaunay takes at most 2^28 points");
  if (points.rows() < 3) return;
  {
    const Scaled scaled = scale_points(points);
    lattice_ = scaled.lattice;
    if (!lattice_ && scaled.least < kLeastMagnitude) {
      throw std::invalid_argument("coordinates must be 0 or at least 1e-50 times the largest coordinate");
    }
    order(scaled);
  }
  const size_t n = original_.size();
  tip_.reserve(6 * n);
  twin_.reserve(6 * n);
  hull_next_.resize(n);
  hull_previous_.resize(n);
  hull_edge_.resize(n);
  bucket_.assign(size_t(2 * std::sqrt(double(n))) + 1, kNone);
  stack_.reserve(64);

  const Id first = start();
  std::vector<Id> inside;  // points inserted slightly too late because of rounded distances
  for (Id point = first; point < Id(n); ++point) {
    work_.add(kUnitsPerPoint);
    const Id seen = visible_edge(point);
    if (seen == kNone) {
      inside.push_back(point);
    } else {
      join_outside(point, seen);
    }
  }
  for (const Id point : inside) {
    work_.add(kUnitsPerPoint);
    insert_inside(point);
  }
}

void Sweep::order(const Scaled& scaled) {
  struct Entry {
    double distance;
    Id id;
  };
  const std::vector<double>& xy = scaled.xy;
  const size_t n = xy.size() / 2;
  // The mean, not the centre of the bounding box, which a single far point would move away from the others.
  for (size_t i = 0; i < xy.size(); ++i) middle_[i % 2] += xy[i] / double(n);
  std::vector<double> distance(n);
  double greatest = 0;
  for (size_t i = 0; i < n; ++i) {
    const double dx = xy[2 * i] - middle_[0], dy = xy[2 * i + 1] - middle_[1];
    distance[i] = dx * dx + dy * dy;
    greatest = std::max(greatest, distance[i]);
  }
  // Bucket sort with one point per bucket on average: the squared distances of uniformly distributed points
  // are uniformly distributed.
  const double per_bucket = greatest > 0 ? double(n - 1) / greatest : 0.0;
  std::vector<Id> begin(n + 1, 0);
  std::vector<Entry> entries(n);
  for (size_t i = 0; i < n; ++i) ++begin[size_t(distance[i] * per_bucket) + 1];
  for (size_t i = 0; i < n; ++i) begin[i + 1] += begin[i];
  std::vector<Id> fill(begin.begin(), begin.end() - 1);
  for (size_t i = 0; i < n; ++i) {
    entries[size_t(fill[size_t(distance[i] * per_bucket)]++)] = {distance[i], Id(i)};
  }
  const auto before = [&xy](const Entry& a, const Entry& b) {
    if (a.distance != b.distance) return a.distance < b.distance;
    const size_t i = 2 * size_t(a.id), j = 2 * size_t(b.id);
    if (xy[i] != xy[j]) return xy[i] < xy[j];
    if (xy[i + 1] != xy[j + 1]) return xy[i + 1] < xy[j + 1];
    return a.id < b.id;
  };
  for (size_t i = 0; i < n; ++i) {
    const Id count = begin[i + 1] - begin[i];
    if (count < 2) continue;
    const auto first = entries.begin() + begin[i], last = entries.begin() + begin[i + 1];
    if (count < kLongBucket) {
      std::sort(first, last, before);
    } else {
      std::sort(first, last, [&](const Entry& a, const Entry& b) {
        work_.add(1);
        return before(a, b);
      });
    }
  }
  xy_.reserve(2 * n);
  original_.reserve(n);
  for (const Entry& entry : entries) {
    const double x = xy[2 * size_t(entry.id)], y = xy[2 * size_t(entry.id) + 1];
    const size_t size = xy_.size();
    if (size && xy_[size - 2] == x && xy_[size - 1] == y) continue;
    xy_.push_back(x);
    xy_.push_back(y);
    original_.push_back(entry.id);
  }
}

Id Sweep::start() {
  const Id n = Id(original_.size());
  Id apex = 2;
  while (apex < n && side(0, 1, apex) == 0) ++apex;
  if (apex >= n) return n;
  std::vector<Id> line;
  for (Id v = 0; v < apex; ++v) line.push_back(v);
  std::sort(line.begin(), line.end(),
            [this](Id a, Id b) { return at(a)[0] != at(b)[0] ? at(a)[0] < at(b)[0] : at(a)[1] < at(b)[1]; });
  if (side(line.front(), line.back(), apex) < 0) std::reverse(line.begin(), line.end());
  for (size_t i = 0; i + 1 < line.size(); ++i) {
    const Id e = add_triangle(line[i], line[i + 1], apex);
    if (i > 0) link(e + 2, e - 2);
    hull_edge_[size_t(line[i])] = e;
  }
  hull_edge_[size_t(line.back())] = Id(tip_.size()) - 2;
  hull_edge_[size_t(apex)] = 2;
  line.push_back(apex);
  for (size_t i = 0; i < line.size(); ++i) {
    const Id v = line[i], w = line[(i + 1) % line.size()];
    hull_next_[size_t(v)] = w;
    hull_previous_[size_t(w)] = v;
    remember(v);
  }
  return apex + 1;
}

size_t Sweep::bucket(Id point) const {
  const double dx = at(point)[0] - middle_[0], dy = at(point)[1] - middle_[1];
  const double size = std::abs(dx) + std::abs(dy);
  if (!(size > 0)) return 0;
  // Increases with the angle from 0 to 4.
  const double turn = dy >= 0 ? 1 - dx / size : 3 + dx / size;
  return std::min(bucket_.size() - 1, size_t(turn / 4 * double(bucket_.size())));
}

Id Sweep::visible_edge(Id point) const {
  Id ahead = kNone;
  const size_t home = bucket(point);
  for (size_t i = home, tried = 0; tried < bucket_.size(); ++tried, i = i + 1 == bucket_.size() ? 0 : i + 1) {
    ahead = bucket_[i];
    if (ahead != kNone && hull_next_[size_t(ahead)] != ahead) break;
  }
  if (ahead == kNone || hull_next_[size_t(ahead)] == ahead) {
    // No remembered vertex is on the hull any more; the last points that were inserted are on it or next to
    // it.
    ahead = point - 1;
    while (hull_next_[size_t(ahead)] == ahead) --ahead;
  }
  Id behind = hull_previous_[size_t(ahead)];
  for (Index steps = 1;; ++steps) {
    if (steps % kStepsPerPoll == 0) poll_interrupt();
    if (sees(point, behind)) return behind;
    if (ahead == behind) return kNone;
    if (sees(point, ahead)) return ahead;
    ahead = hull_next_[size_t(ahead)];
    if (ahead == behind) return kNone;
    behind = hull_previous_[size_t(behind)];
  }
}

Id Sweep::add_triangle(Id a, Id b, Id c) {
  const Id e = Id(tip_.size());
  tip_.insert(tip_.end(), {a, b, c});
  twin_.insert(twin_.end(), {kNone, kNone, kNone});
  return e;
}

void Sweep::link(Id e, Id twin) {
  twin_[size_t(e)] = twin;
  if (twin == kNone) {
    hull_edge_[size_t(tip_[size_t(e)])] = e;
  } else {
    twin_[size_t(twin)] = e;
  }
}

void Sweep::join_outside(Id point, Id v) {
  const size_t p = size_t(point);
  Id w = hull_next_[size_t(v)];
  Id e = add_triangle(w, v, point);
  link(e, hull_edge_[size_t(v)]);
  hull_edge_[size_t(v)] = e + 1;
  hull_edge_[p] = e + 2;
  legalise(e);
  while (sees(point, w)) {
    const Id after = hull_next_[size_t(w)];
    e = add_triangle(after, w, point);
    link(e, hull_edge_[size_t(w)]);
    link(e + 1, hull_edge_[p]);
    hull_edge_[p] = e + 2;
    hull_next_[size_t(w)] = w;
    legalise(e);
    w = after;
  }
  while (sees(point, hull_previous_[size_t(v)])) {
    const Id before = hull_previous_[size_t(v)];
    e = add_triangle(v, before, point);
    link(e, hull_edge_[size_t(before)]);
    link(e + 2, hull_edge_[size_t(v)]);
    hull_edge_[size_t(before)] = e + 1;
    hull_next_[size_t(v)] = v;
    legalise(e);
    v = before;
  }
  hull_next_[size_t(v)] = point;
  hull_previous_[p] = v;
  hull_next_[p] = w;
  hull_previous_[size_t(w)] = point;
  remember(v);
  remember(point);
}

bool Sweep::in_circle(Id a, Id b, Id c, Id d) const {
  if (lattice_) {
    double unused;
    return incircle_plain(at(a), at(b), at(c), at(d), unused) > 0;
  }
  return incircle(at(a), at(b), at(c), at(d)) > 0;
}

void Sweep::legalise(Id e) {
  stack_.push_back(e);
  for (Index steps = 1; !stack_.empty(); ++steps) {
    if (steps % kStepsPerPoll == 0) poll_interrupt();
    const Id a = stack_.back();
    stack_.pop_back();
    const Id b = twin_[size_t(a)];
    if (b == kNone) continue;
    const Id a_next = next(a), a_previous = previous(a), b_next = next(b), b_previous = previous(b);
    const Id apex = tip_[size_t(a_previous)], far = tip_[size_t(b_previous)];
    if (!in_circle(tip_[size_t(a)], tip_[size_t(a_next)], apex, far)) continue;
    tip_[size_t(a)] = far;
    tip_[size_t(b)] = apex;
    const Id beyond_a = twin_[size_t(b_previous)], beyond_b = twin_[size_t(a_previous)];
    link(a, beyond_a);
    link(b, beyond_b);
    link(a_previous, b_previous);
    stack_.push_back(a);
    stack_.push_back(b_next);
  }
}

void Sweep::insert_inside(Id point) {
  // Walk towards the point; with exact signs the walk through a Delaunay triangulation terminates.
  Id t = Id(tip_.size()) - 3;
  for (Id k = 0; k < 3;) {
    work_.add(2);
    const Id e = t + k;
    if (side(tip_[size_t(e)], tip_[size_t(next(e))], point) < 0) {
      t = twin_[size_t(e)] / 3 * 3;
      k = 0;
    } else {
      ++k;
    }
  }
  for (Id e = t; e < t + 3; ++e) {
    const Id a = tip_[size_t(e)], b = tip_[size_t(next(e))], c = tip_[size_t(previous(e))];
    if (twin_[size_t(e)] != kNone || side(a, b, point) != 0) continue;
    // On the hull edge a-b: two triangles replace one.
    const Id e_next = next(e), outer = twin_[size_t(e_next)];
    const Id other = add_triangle(point, b, c);
    tip_[size_t(e_next)] = point;
    link(other + 1, outer);
    link(other + 2, e_next);
    link(e, kNone);
    link(other, kNone);
    hull_next_[size_t(point)] = b;
    hull_previous_[size_t(point)] = a;
    hull_next_[size_t(a)] = point;
    hull_previous_[size_t(b)] = point;
    legalise(previous(e));
    legalise(other + 1);
    return;
  }
  // Three triangles replace one. If the point lies on an inner edge, one of them is flat; the in-circle test
  // is positive for any point on the other side of that edge, so the edge is flipped.
  const size_t first = size_t(t);
  const Id a = tip_[first], b = tip_[first + 1], c = tip_[first + 2];
  const Id beyond_bc = twin_[first + 1], beyond_ca = twin_[first + 2];
  const Id second = add_triangle(b, c, point);
  const Id third = add_triangle(c, a, point);
  tip_[first + 2] = point;
  link(second, beyond_bc);
  link(third, beyond_ca);
  link(t + 1, second + 2);
  link(second + 1, third + 2);
  link(third + 1, t + 2);
  legalise(t);
  legalise(second);
  legalise(third);
}

Faces Sweep::triangles() const {
  Faces F(Index(tip_.size() / 3), 3);
  for (size_t e = 0; e < tip_.size(); ++e) F.data()[e] = original_[size_t(tip_[e])];
  return F;
}

}  // namespace

Faces delaunay(Points2In points) { return Sweep(points).triangles(); }

}  // namespace facegeom
