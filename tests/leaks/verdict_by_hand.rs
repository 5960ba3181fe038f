//! error[E0451]: nobody but the policy room makes a `Verdict`, nor changes one.
use artifortress::domain::name::RepoKey;
use artifortress::policy::Verdict;

pub fn forge(real: Verdict, repo: RepoKey) -> Verdict {
    Verdict { repo, ..real }
}

fn main() {}
